"""What is not needed is given up, and what is left suffices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Host

pytestmark = pytest.mark.timeout(60)

SHOW = """
import subprocess
from firezone.host.privilege import keep_only
keep_only(sys.argv[1] or None)
print(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
"""
AHEAD = """
import os
import resource
from firezone.host.privilege import CAP_NET_ADMIN, allow_real_time, keep_only
try:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
except PermissionError:
    # A control group without a budget for it (RT_GROUP_SCHED) has it for nobody.
    sys.exit(print("host: refuses"))
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
keep_only(None, {CAP_NET_ADMIN} | allow_real_time())
os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
print("policy:", os.sched_getscheduler(0))
print("limit:", resource.getrlimit(resource.RLIMIT_RTPRIO)[0])
print(Path("/proc/self/status").read_text())
"""
FAIR = """
import resource
from firezone.host.privilege import CAP_NET_ADMIN, allow_real_time, keep_only
keep_only(None, {CAP_NET_ADMIN} | allow_real_time(wanted=False))
print("limit:", resource.getrlimit(resource.RLIMIT_RTPRIO))
print(Path("/proc/self/status").read_text())
"""
REFUSED = """
import threading
from firezone.host.privilege import keep_only
waiting = threading.Event()
if sys.argv[2] == "thread":
    threading.Thread(target=waiting.wait, daemon=True).start()
try:
    keep_only(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
    waiting.set()
"""
# What MemoryDenyWriteExecute of the unit does, said to the kernel by ourselves.
WITHOUT_NEW_CODE = """
import ctypes
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0
from firezone.host.privilege import keep_only
keep_only(None)
journal = Journal.open("client")
host = LinuxHost(journal, log=log)
host.apply(PLANS["internet"])
control = dns_control("etc-resolv-conf", journal, log=log)
control.apply(tun=TUN, sentinels=SENTINELS)
print(Path("/etc/resolv.conf").read_text())
host.undo()
journal.release()
"""


def fields(status: str) -> dict[str, list[str]]:
    rows = (line.partition(":") for line in status.splitlines() if ":" in line)
    return {name: rest.split() for name, _, rest in rows}


def test_a_data_plane_may_go_ahead_of_other_programs_and_nothing_else_is_gained(host: Host) -> None:
    shown = fields(host.python(AHEAD, ""))
    if shown.get("host") == ["refuses"]:
        pytest.skip("no process goes ahead of others here")

    nice = 0 if shown["limit"] == ["1"] else 1 << 23
    assert shown["CapEff"] == shown["CapBnd"] == [f"{0x1000 | nice:016x}"]
    assert shown["policy"] == ["2"], "SCHED_RR"


def test_a_data_plane_that_is_to_be_fair_gives_the_right_to_go_ahead_back(host: Host) -> None:
    shown = fields(host.python(FAIR, ""))

    assert shown["limit"] == ["(0,", "0)"]
    assert shown["CapEff"] == shown["CapBnd"] == ["0000000000001000"]


@pytest.mark.parametrize(("user", "number"), [("nobody", "65534"), ("", "0")])
def test_a_program_that_is_started_has_one_right(host: Host, user: str, number: str) -> None:
    shown = fields(host.python(SHOW, user))

    sets = {name: shown[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")}
    assert sets == {name: ["0000000000001000"] for name in sets}
    assert shown["Uid"] == [number] * 4
    assert shown["NoNewPrivs"] == ["1"]


def test_a_user_that_is_not_there_is_named(host: Host) -> None:
    assert "ConfigError there is no user nobody-here" in host.python(REFUSED, "nobody-here", "")


def test_other_threads_would_keep_their_rights(host: Host) -> None:
    assert "while other threads run" in host.python(REFUSED, "nobody", "thread")


def test_root_with_one_right_and_no_new_code_sets_a_host_up(host: Host) -> None:
    host.tun()
    before = host.state()

    assert "nameserver 100.100.111.1" in host.python(WITHOUT_NEW_CODE)

    assert host.state() == before
