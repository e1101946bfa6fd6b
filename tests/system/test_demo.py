"""The promise with the kernel's own stack, short: curl, nginx, sha256sum and tcpdump judge."""

from __future__ import annotations

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


def assert_kept(ended: Any, *, judges_new_connections: bool) -> None:
    assert ended.code == 0, ended.err
    assert ended.result["schema"] == "firezone.demo/1"
    assert ended.result["verdict"] == "kept", ended.err
    figures = ended.result["policies"]["keep"]
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
    # A short way and many queries, so that handshakes are many even on a busy machine and where
    # each waits 50 ms for a look-up that never ends.
    options = ("--policy", "keep", "--seconds", "4", "--latency", "1ms", "--json")
    options += ("--queries-per-second", "500")

    ended = demo(*options, "--records", records, "--direction", direction)

    assert_kept(ended, judges_new_connections=records in ("same", "rotate", "replace"))


def test_keep_touches_no_packet_where_control_messages_are_lost(demo: Callable[..., Any]) -> None:
    link = ("--latency", "10ms", "--control-loss", "10%")

    ended = demo("--policy", "keep", "--seconds", "6", "--json", *link)

    assert_kept(ended, judges_new_connections=True)


def test_queries_for_another_name_are_the_measure_to_compare_with(
    demo: Callable[..., Any],
) -> None:
    ended = demo("--policy", "keep", "--seconds", "3", "--json", "--idle-queries")

    assert_kept(ended, judges_new_connections=False)


def test_halt_moves_less_and_loses_packets_and_the_promise_is_judged_by_keep(
    demo: Callable[..., Any], tmp_path: Path
) -> None:
    picture = tmp_path / "demo.png"

    ended = demo("--seconds", "4", "--json", "--plot", str(picture))

    assert_kept(ended, judges_new_connections=True)
    keep, halt = (ended.result["policies"][policy] for policy in ("keep", "halt"))
    assert halt["bytes"] < keep["bytes"]
    assert halt["held"] > 0
    assert halt["overwritten"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_json_there_is_a_verdict_per_policy_and_logs_of_both_roles(
    demo: Callable[..., Any], environment: dict[str, str]
) -> None:
    ended = demo("--policy", "keep", "--seconds", "3")

    assert ended.code == 0, ended.err
    assert "kept" in ended.out
    assert "packets lost" in ended.out
    roles = {path.name.split(".")[0] for path in Path(environment["LOG_DIR"]).glob("*.log")}
    assert roles == {"client", "gateway"}
