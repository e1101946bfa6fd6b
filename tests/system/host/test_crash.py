"""Killed at any step, the next start or `firezone host cleanup` leaves the host as it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Host

pytestmark = pytest.mark.timeout(240)

# Before each thing outside of the process that changes; what follows one is what precedes the next.
# Of the kernel's links, addresses, routes and rules every fourth, unless FIREZONE_TEST_ALL is set.
KILL_AT_EVERY_STEP = r"""
import difflib, subprocess
from firezone.host import netlink, nftables, sysctl
from firezone.host import journal as journals
from firezone.host.dns import resolv_conf

left = 0
calls = 0
EVERY = 1 if os.environ.get("FIREZONE_TEST_ALL") else 4

def pass_points(owner, name, every=1):
    act = getattr(owner, name)
    def wrapped(*arguments, **options):
        global left, calls
        calls += 1
        if every == 1 or calls % every == 0:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **options)
    setattr(owner, name, wrapped)

for owner, name in (
    (journals.Journal, "_write"), (nftables.Nftables, "apply"), (nftables.Nftables, "remove"),
    (sysctl.Sysctl, "set"), (resolv_conf, "_replace"), (os, "pwrite"), (os, "ftruncate"),
):
    pass_points(owner, name)
pass_points(netlink.Netlink, "_do", EVERY)

role, name, phase, state = sys.argv[1:]

def apply(points):
    global left
    left = points
    journal = Journal.open(role)
    host = LinuxHost(journal, log=log)
    control = dns_control("etc-resolv-conf", journal, log=log)
    host.apply(PLANS[name])
    control.apply(tun=TUN, sentinels=SENTINELS, search_domains=["corp.example"])
    control.apply(tun=TUN, sentinels=SENTINELS[:1])
    host.apply(PLANS["other" if role == "client" else "routed"])
    journal.release()

def undo(points):
    global left
    left = points
    journal = Journal.open(role)
    LinuxHost(journal, log=log)
    journal.release()

def child(act, points):
    pid = os.fork()
    if pid == 0:
        try:
            act(points)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def look():
    return subprocess.run(["sh", "-ec", state], capture_output=True, text=True, check=True).stdout

before = look()
number = 0
while True:
    # Each point costs a set-up and an undoing: some must do, unless all are asked for. The odd
    # distances meet other points in each phase.
    number += 1 if EVERY == 1 else {"apply": 3, "undo": 5}[phase]
    if phase == "apply":
        code = child(apply, number)
    else:
        assert child(apply, 0) == 0
        code = child(undo, number)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"point {number} ended with {code}")
    again = child(undo, 0)
    after = look()
    if (again, after) != (0, before):
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="")
        raise SystemExit("\n".join([f"killed at point {number}, undone with {again}:", *lines]))
    assert not Path(f"/run/firezone/{role}.host.json").exists()
    if code == 0:
        break
print(number)
"""

RUN = """
journal = Journal.open("client")
host = LinuxHost(journal, log=log)
host.apply(PLANS["internet"])
dns_control("etc-resolv-conf", journal, log=log).apply(tun=TUN, sentinels=SENTINELS)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("phase", ["apply", "undo"])
@pytest.mark.parametrize(("role", "name"), [("client", "internet"), ("gateway", "gateway")])
def test_killed_at_any_step_the_next_start_leaves_nothing(
    host: Host, states: str, role: str, name: str, phase: str
) -> None:
    host.tun()

    points = host.python(KILL_AT_EVERY_STEP, role, name, phase, states)

    assert int(points) >= 15


@pytest.fixture
def running(host: Host, with_prelude: Callable[[str], str]) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = host.start(
        sys.executable, "-W", "error", "-c", with_prelude(RUN), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process


def test_after_kill_9_cleanup_tells_and_undoes(host: Host, request: pytest.FixtureRequest) -> None:
    host.tun()
    before, values = host.state(), host.values()
    running: subprocess.Popen[str] = request.getfixturevalue("running")
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    assert "nameserver 100.100.111.1" in host.state()

    said = host.firezone("host", "cleanup", ok=False)
    assert said.startswith("1\n")
    assert "is running on this host already" in said
    shown = json.loads(host.firezone("host", "show", "--json"))
    assert shown["running"] == {"client": True, "gateway": False}
    assert {"RuleAdded", "RouteAdded", "ResolvConfWritten", "TableMade"} <= {
        step["step"] for step in shown["steps"]
    }

    running.send_signal(signal.SIGKILL)
    running.wait()
    in_between = host.state()
    told = host.firezone("host", "cleanup", "--dry-run")
    assert "client: would undo rule 100" in told
    assert host.state() == in_between

    undone = json.loads(host.firezone("host", "cleanup", "--json"))
    assert undone["schema"] == "firezone.host.cleanup/1"
    assert len(undone["steps"]) == len(shown["steps"])
    assert (host.state(), host.values()) == (before, values)
    assert "nothing to undo" in host.firezone("host", "cleanup")


def test_the_device_may_be_gone_with_its_process(
    host: Host, request: pytest.FixtureRequest
) -> None:
    before = host.state()
    tun = host.tun()
    running: subprocess.Popen[str] = request.getfixturevalue("running")
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.wait()
    tun.delete()

    host.firezone("host", "cleanup")

    assert host.state() == before


def test_what_others_changed_after_a_crash_stays(
    host: Host, request: pytest.FixtureRequest
) -> None:
    host.tun()
    running: subprocess.Popen[str] = request.getfixturevalue("running")
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.wait()
    host.sh(
        "ip rule add priority 160 lookup 99; nft add table inet later;"
        "echo nameserver 9.9.9.9 > /etc/resolv.conf"
    )

    host.firezone("host", "cleanup")

    state = host.state()
    assert "160:" in state
    assert "table inet later" in state
    assert state.endswith("nameserver 9.9.9.9\n")
    assert "fd002021" not in state


def test_another_network_namespace_is_not_guessed_at(
    host: Host, lan: Host, request: pytest.FixtureRequest
) -> None:
    host.tun()
    running: subprocess.Popen[str] = request.getfixturevalue("running")
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.wait()
    journal = host.sh("cat /run/firezone/client.host.json")
    lan.sh("mkdir /run/firezone; cat > /run/firezone/client.host.json", input=journal)
    before = lan.state()

    said = lan.firezone("host", "cleanup", ok=False)

    assert "in another network namespace" in said
    assert lan.state() == before
    assert lan.sh("cat /run/firezone/client.host.json") == journal
