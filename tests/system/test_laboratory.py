"""What the laboratory leaves behind, and what it says where it cannot run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.system

# On a busy machine too the transfer leaves room for many re-creations.
SHORT = ("--latency", "1ms", "--bandwidth", "40Mbit")
DEMO = (sys.executable, "-m", "firezone", "demo")


def namespace(process: subprocess.Popen[str], role: str) -> Path:
    return Path(f"/var/run/netns/fz-{role}-{process.pid}")


def is_transferring(environment: dict[str, str]) -> bool:
    """Tell by the Client's log, where the flow's translation was established."""
    logs = Path(environment["LOG_DIR"]).glob("client.*.log")
    return any("nat.established" in path.read_text() for path in logs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_mid_transfer_takes_everything_away(
    start: Callable[..., subprocess.Popen[str]],
    environment: dict[str, str],
    wait_for: Callable[[Callable[[], bool]], None],
    left_behind: Callable[[int], list[str]],
    number: signal.Signals,
) -> None:
    process = start("--policy", "keep", "--seconds", "60")
    wait_for(lambda: is_transferring(environment))

    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert left_behind(process.pid) == []


def test_what_a_killed_demo_left_is_removed_by_the_next_one(
    start: Callable[..., subprocess.Popen[str]],
    environment: dict[str, str],
    demo: Callable[..., Any],
    wait_for: Callable[[Callable[[], bool]], None],
    left_behind: Callable[[int], list[str]],
    still_running: Callable[[int], list[str]],
    programs_of: Callable[[int], list[Path]],
) -> None:
    process = start("--policy", "keep", "--seconds", "60")
    wait_for(lambda: is_transferring(environment))
    programs = programs_of(process.pid)
    running = still_running(process.pid)
    for command in ("firezone client up", "firezone gateway run"):
        assert any(command in line for line in running), running
    process.kill()
    process.communicate(timeout=30)
    assert left_behind(process.pid) != []
    # Nobody ends them: they die with who started them, but for children that they have.
    wait_for(lambda: still_running(process.pid) == [])

    ended = demo("--policy", "keep", "--seconds", "1", "--json")

    assert ended.code in (0, 1), ended.err
    assert left_behind(process.pid) == []
    assert [program for program in programs if program.exists()] == []


def test_keep_leaves_it_running_and_ctrl_c_ends_it(
    start: Callable[..., subprocess.Popen[str]],
    left_behind: Callable[[int], list[str]],
) -> None:
    process = start("--policy", "keep", "--seconds", "3", "--keep", *SHORT)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "logs" in line:
            break

    inside = ["ip", "netns", "exec", namespace(process, "app").name]
    probe = [*inside, "curl", "-sS", "--max-time", "5", "http://app.site.example/whoami"]
    answer = subprocess.run(probe, capture_output=True, text=True, check=False)
    asked = next(line for line in said if "firezone nat flows" in line).split()[1:]
    flows = subprocess.run(
        [*DEMO[:-1], *asked, "--json"], capture_output=True, text=True, check=False
    )
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    assert answer.stdout.strip().startswith(("10.77.0.", "fd77::")), answer.stderr
    names = {flow["name"] for flow in json.loads(flows.stdout)["flows"]}
    assert names == {"app.site.example"}, flows.stderr
    assert any("Ctrl-C" in line for line in said)
    assert process.returncode == 0
    assert "kept" in out
    assert left_behind(process.pid) == []


def test_a_missing_program_is_named_with_its_package(environment: dict[str, str]) -> None:
    # A mount namespace in which nginx is not there.
    script = 'mount --bind /dev/null $(command -v nginx || echo /usr/sbin/nginx); exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *DEMO]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 3
    assert ended.stderr.splitlines() == [
        "error: the laboratory needs nginx, which is not installed",
        "hint: install it: apt-get install nginx-light",
    ]


def test_without_privilege_the_line_that_mends_it_is_said(environment: dict[str, str]) -> None:
    # A mount namespace in which nobody may open the TUN device.
    script = (
        "mkdir -p $0 && mount -t tmpfs tmpfs $0 && mknod $0/tun c 10 200 && chmod 000 $0/tun && "
        'mount --bind $0/tun /dev/net/tun && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    )
    folder = Path(environment["LOG_DIR"]).parent / "device"
    command = ["unshare", "--mount", "sh", "-c", script, str(folder), *DEMO]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 6, ended.stderr
    assert "/dev/net/tun cannot be opened" in ended.stderr
    assert "hint: run it as root: sudo firezone demo" in ended.stderr
    assert os.listdir(folder) == []  # noqa: PTH208


def test_wrong_quantities_are_usage_errors(environment: dict[str, str]) -> None:
    command = [*DEMO, "--latency", "20"]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "write it like 20ms" in ended.stderr


def test_a_plain_user_runs_it_in_a_user_namespace(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # A mount namespace in which everybody may open the TUN device, as on most desktops.
    script = (
        "mount -t tmpfs -o mode=755 tmpfs $0 && mknod $0/tun c 10 200 && chmod 666 $0/tun && "
        "mount --bind $0/tun /dev/net/tun && exec setpriv --reuid 65534 --regid 65534 "
        '--clear-groups --bounding-set=-all --inh-caps=-all "$@"'
    )
    plain = ["unshare", "--mount", "sh", "-c", script, str(tmp_path)]
    environment |= {"LOG_DIR": f"/tmp/firezone-test-logs-{os.getpid()}", "HOME": "/tmp"}  # noqa: S108
    able = subprocess.run(
        [*plain, "unshare", "--user", sys.executable, "-c", "import firezone._core"],
        env=environment,
        capture_output=True,
        check=False,
    )
    if able.returncode != 0:
        pytest.skip("no user namespaces, or Python is in a folder that others cannot read")

    ended = subprocess.run(
        [*plain, *DEMO, "--policy", "keep", "--seconds", "3", *SHORT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    shutil.rmtree(environment["LOG_DIR"], ignore_errors=True)
    assert ended.returncode == 0, ended.stderr
    assert "kept" in ended.stdout
    assert "encrypted, two processes" in ended.stdout
