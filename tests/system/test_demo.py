"""The promise through two processes and the encrypted tunnel, short, and where it is broken.

curl, nginx, sha256sum, tcpdump and tshark judge.
"""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.system

# Every kind of records once, up and down by turns: scenarios (a)-(g) of the rules' section 6.
RECORDS = [
    ("same", "up"),
    ("rotate", "down"),
    ("replace", "up"),
    ("lose-family", "down"),
    ("servfail", "up"),
    ("refused", "down"),
    ("nxdomain", "up"),
    ("timeout", "down"),
    ("late", "up"),
]


# A short way, so that handshakes are many even on a busy machine and where each waits 50 ms for a
# look-up that never ends; a slow one, so that the transfer leaves the machine room for them.
SHORT = ("--policy", "keep", "--latency", "1ms", "--bandwidth", "40Mbit")


def assert_kept(ended: Any, *, judges_new_connections: bool, path: str = "tunnel") -> None:
    assert ended.code == 0, ended.err
    assert ended.result["schema"] == "firezone.demo/1"
    assert ended.result["verdict"] == "kept", ended.err
    figures = ended.result["policies"]["keep"]
    assert figures["path"] == path
    names = ("lost", "duplicated", "reordered", "misdirected", "resets", "held", "overwritten")
    assert {name: figures[name] for name in names} == dict.fromkeys(names, 0)
    assert figures["sha256_equal"] is True
    assert figures["bytes"] > 0
    assert figures["recreations_completed"] > 0
    assert figures["new_connections_current"] is (True if judges_new_connections else None)


@pytest.mark.parametrize(("records", "direction"), RECORDS)
def test_keep_touches_no_packet_whatever_the_records_do(
    demo: Callable[..., Any], records: str, direction: str
) -> None:
    options = (*SHORT, "--seconds", "3", "--queries-per-second", "500", "--json")

    ended = demo(*options, "--records", records, "--direction", direction)

    assert_kept(ended, judges_new_connections=records in ("same", "rotate", "replace"))


def test_keep_touches_no_packet_where_control_messages_are_lost(demo: Callable[..., Any]) -> None:
    link = ("--latency", "10ms", "--control-loss", "10%")

    ended = demo("--policy", "keep", "--seconds", "6", "--json", *link)

    assert_kept(ended, judges_new_connections=True, path="process")


def test_keep_touches_no_packet_inside_one_process_either(demo: Callable[..., Any]) -> None:
    ended = demo(*SHORT, "--seconds", "3", "--json", "--path", "process")

    assert_kept(ended, judges_new_connections=True, path="process")


def test_queries_for_another_name_are_the_measure_to_compare_with(
    demo: Callable[..., Any],
) -> None:
    ended = demo(*SHORT, "--seconds", "3", "--json", "--idle-queries")

    assert_kept(ended, judges_new_connections=False)


def test_halt_moves_less_and_loses_packets_and_the_promise_is_judged_by_keep(
    demo: Callable[..., Any], tmp_path: Path
) -> None:
    picture = tmp_path / "demo.png"

    ended = demo("--seconds", "4", "--json", "--plot", str(picture))

    assert_kept(ended, judges_new_connections=True)
    keep, halt = (ended.result["policies"][policy] for policy in ("keep", "halt"))
    assert halt["path"] == "process", "no setting of a real endpoint leads to it (R41)"
    assert halt["bytes"] < keep["bytes"]
    assert halt["held"] > 0
    assert halt["overwritten"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_json_there_is_a_verdict_per_policy_and_logs_of_both_roles(
    demo: Callable[..., Any], environment: dict[str, str]
) -> None:
    ended = demo(*SHORT, "--seconds", "3")

    assert ended.code == 0, ended.err
    assert "kept" in ended.out
    assert "encrypted, two processes" in ended.out
    assert "packets lost" in ended.out
    roles = {path.name.split(".")[0] for path in Path(environment["LOG_DIR"]).glob("*.log")}
    assert roles == {"client", "gateway"}


def test_nothing_but_wireguard_is_to_be_read_between_the_hosts(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    capture = tmp_path / "wire.pcap"
    process = start(*SHORT, "--seconds", "1", "--keep")
    assert process.stderr is not None
    for line in process.stderr:
        if "logs" in line:
            break
    inside = ("ip", "netns", "exec", f"fz-app-{process.pid}")
    listen = (*inside, "tcpdump", "-i", "wan", "--immediate-mode", "-U", "-w", str(capture))
    with subprocess.Popen(listen, stderr=subprocess.PIPE, text=True) as listening:
        assert listening.stderr is not None
        listening.stderr.readline()
        fetch = ("curl", "-s", "--max-time", "30", "-r", "0-4194303", "-o", str(tmp_path / "file"))
        subprocess.run([*inside, *fetch, "http://app.site.example/file"], check=True)
        listening.terminate()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    types = messages(capture)
    assert types.keys() <= {"1", "2", "3", "4"}, types
    assert types["4"] > 4 * 2**20 / 1500
    crossed, fetched = capture.read_bytes(), (tmp_path / "file").read_bytes()
    assert len(fetched) == 4 * 2**20
    for text in (b"site", b"HTTP/1", fetched[2**20 : 2**20 + 16]):
        assert text not in crossed


def messages(capture: Path) -> Counter[str]:
    """Count what tshark takes each packet for; what is no message of WireGuard's has no type."""
    fields = ("-d", "udp.port==52625,wg", "-T", "fields", "-e", "wg.type")
    told = subprocess.run(
        ["tshark", "-n", "-r", str(capture), *fields], capture_output=True, text=True, check=True
    )
    return Counter(told.stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--control-loss", "10%"), "--control-loss needs --path process"),
        (("--policy", "halt"), "needs --path process"),
    ],
)
def test_what_no_tunnel_can_do_is_refused(
    start: Callable[..., subprocess.Popen[str]], options: tuple[str, ...], why: str
) -> None:
    process = start("--path", "tunnel", *options)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert why in err
