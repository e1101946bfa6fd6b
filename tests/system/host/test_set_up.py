"""A host is brought to a plan from whatever it is, and back."""

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

pytestmark = pytest.mark.timeout(60)

ROLES = {"client": "client", "internet": "client", "gateway": "gateway", "routed": "gateway"}

APPLY = """
role, *names = sys.argv[1:]
journal = Journal.open(role)
host = LinuxHost(journal, log=log)
for name in names:
    host.apply(PLANS[name])
journal.release()
print(sorted(host.families))
"""
CHANGE = """
from firezone.errors import FirezoneError
from firezone.host.netlink import Netlink
from firezone.host.plan import Table
class Refusing(Netlink):
    def add_rule(self, rule):
        if rule.table == Table.EVERYTHING:
            raise FirezoneError("the kernel refuses")
        return super().add_rule(rule)
journal = Journal.open("client")
host = LinuxHost(journal, log=log, netlink=Refusing)
host.apply(PLANS["client"])
try:
    host.change(PLANS["internet"])
except FirezoneError as error:
    print(error)
journal.release()
"""
UNDO = """
journal = Journal.open(sys.argv[1])
LinuxHost(journal, log=log)
journal.release()
"""
WATCH = """
role, name = sys.argv[1:]
journal = Journal.open(role)
host = LinuxHost(journal, log=log)
host.apply(PLANS[name])
def tell(change):
    print(*sorted(change.kinds), flush=True)
    if "tun-returned" in change.kinds:
        host.apply(PLANS[name])
        print("applied", flush=True)
async def main():
    loop = asyncio.get_running_loop()
    watching = asyncio.create_task(host.watch(tell))
    loop.add_signal_handler(signal.SIGTERM, watching.cancel)
    loop.call_later(0.3, print, "ready")
    loop.call_later(0.3, sys.stdout.flush)
    await asyncio.gather(watching, return_exceptions=True)
asyncio.run(main())
host.undo()
journal.release()
"""


@pytest.mark.parametrize("name", ROLES)
def test_a_second_time_changes_nothing_and_the_end_leaves_nothing(host: Host, name: str) -> None:
    host.tun()
    before, values = host.state(), host.values()

    host.python(APPLY, ROLES[name], name)
    once = host.state()
    assert once != before
    assert "0x2021fd00" in once or str(0x2021FD00) in once
    host.python(UNDO, ROLES[name])
    assert (host.state(), host.values()) == (before, values)

    host.python(APPLY, ROLES[name], name, name)
    assert host.state() == once
    host.python(UNDO, ROLES[name])
    assert (host.state(), host.values()) == (before, values)


@pytest.mark.parametrize(
    ("role", "first", "then"),
    [
        ("client", "client", "internet"),
        ("client", "internet", "client"),
        ("client", "internet", "other"),
        ("gateway", "gateway", "routed"),
    ],
)
def test_a_changed_plan_ends_where_a_fresh_one_does(
    host: Host, role: str, first: str, then: str
) -> None:
    host.tun()
    before = host.state()
    host.python(APPLY, role, then)
    fresh = host.state()
    host.python(UNDO, role)

    host.python(APPLY, role, first, then)

    assert sorted(host.state().splitlines()) == sorted(fresh.splitlines())
    host.python(UNDO, role)
    assert host.state() == before


def test_a_change_that_the_kernel_refuses_leaves_the_host_at_its_plan(host: Host) -> None:
    host.tun()
    before = host.state()
    host.python(APPLY, "client", "client")
    good = host.state()
    host.python(UNDO, "client")

    assert host.python(CHANGE) == "the kernel refuses\n"

    assert sorted(host.state().splitlines()) == sorted(good.splitlines())
    host.python(UNDO, "client")
    assert host.state() == before


def test_routes_marks_and_mtu_are_those_of_the_protocol(host: Host) -> None:
    host.tun()
    host.python(APPLY, "client", "internet")

    def way(destination: str, mark: str = "") -> str:
        shown = json.loads(host.sh(f"ip -j route get {destination} {mark}"))
        return str(shown[0]["dev"])

    assert {way(a) for a in ("100.96.0.1", "100.100.111.1", "10.9.1.1", "192.0.2.1")} == {
        "tun-firezone"
    }
    assert {way(a) for a in ("fd00:2021:1111:8000::1", "2001:db8:9::1")} == {"tun-firezone"}
    assert (way("10.0.0.3"), way("2001:db8::3")) == ("eth0", "eth0")
    assert way("100.96.0.1", "mark 0xfd002021") == "eth0"
    assert way("203.0.113.1", "mark 0xfd002021") == "eth0"
    assert way("203.0.113.1") == "tun-firezone"
    link = json.loads(host.sh("ip -j addr show dev tun-firezone"))[0]
    assert link["mtu"] == 1280
    assert sorted((a["local"], a["prefixlen"]) for a in link["addr_info"]) == [
        ("100.64.0.1", 32),
        ("fd00:2021:1111::1", 128),
    ]
    rules = json.loads(host.sh("ip -j -d rule"))
    assert {r["protocol"] for r in rules if r["priority"] == 100} == {"kernel"}


def test_only_the_default_goes_past_the_tunnel_without_an_internet_resource(host: Host) -> None:
    host.tun()
    host.python(APPLY, "client", "client")

    shown = json.loads(host.sh("ip -j route get 203.0.113.1"))
    assert shown[0]["dev"] == "eth0"
    assert str(0x2021FD02) not in host.sh("ip rule; ip route show table all")


@pytest.mark.parametrize(("role", "name"), [("client", "internet"), ("gateway", "gateway")])
def test_a_host_without_ipv6_is_set_up_without(host: Host, role: str, name: str) -> None:
    host.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    host.sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
    host.tun()
    before, values = host.state(), host.values()

    assert host.python(APPLY, role, name) == "[4]\n"

    assert "fd00:" not in host.state()
    host.python(UNDO, role)
    assert (host.state(), host.values()) == (before, values)


def test_without_the_device_it_says_so(host: Host) -> None:
    before = host.state()

    said = host.python(APPLY, "client", "client", ok=False)

    assert "there is no network device tun-firezone" in said
    host.python(UNDO, "client")
    assert host.state() == before


def test_without_the_right_it_says_so(host: Host) -> None:
    host.tun()
    host.sh("mkdir -m 777 /run/firezone")
    before = host.state()

    said = host.python(f"os.setgid(65534); os.setuid(65534)\n{APPLY}", "client", "client", ok=False)

    assert "needs CAP_NET_ADMIN" in said
    assert host.state() == before


def test_a_table_that_somebody_flushed_comes_back(host: Host) -> None:
    host.tun()
    flush = 'os.system("nft flush ruleset"); host.apply(PLANS[name]); journal.release()'

    host.python(APPLY.replace("journal.release()", flush), "gateway", "gateway")

    assert "table inet firezone-gateway" in host.state()


def test_another_filter_that_drops_is_told_of(host: Host) -> None:
    host.tun()
    host.sh(
        "nft add table ip filter; nft add chain ip filter FORWARD"
        " '{ type filter hook forward priority filter; policy drop; }'"
    )

    said = host.python(f"{APPLY}\nraise SystemExit(1)", "gateway", "gateway", ok=False)

    assert "ip filter FORWARD" in said


class Watching:
    """A role that watches its host."""

    def __init__(self, host: Host, prelude: Callable[..., str], role: str, name: str) -> None:
        self._process = host.start(
            sys.executable,
            "-W",
            "error",
            "-c",
            prelude(WATCH),
            role,
            name,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.hears() == "ready"

    def hears(self) -> str:
        assert self._process.stdout is not None
        line: str = self._process.stdout.readline()
        return line.strip()

    def ends(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        _, said = self._process.communicate(timeout=20)
        assert self._process.returncode == 0, said


@pytest.fixture
def watching(host: Host, with_prelude: Callable[[str], str]) -> Callable[[str, str], Watching]:
    return lambda role, name: Watching(host, with_prelude, role, name)


def test_attached_networks_are_followed(
    host: Host,
    lan: Host,
    watching: Callable[[str, str], Watching],
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    host.tun()
    table = str(0x2021FD01)
    role = watching("client", "internet")
    assert "10.0.0.0/24 dev eth0" in host.sh(f"ip route show table {table}")

    lan.sh("ip link set eth0 down")
    assert role.hears() == "links"
    assert host.sh(f"ip route show table {table}") == ""

    lan.sh("ip link set eth0 up")
    assert role.hears() == "links"
    assert "10.0.0.0/24 dev eth0" in host.sh(f"ip route show table {table}")

    host.sh("ip addr add 172.31.0.1/24 dev eth0")
    wait_until(lambda: "172.31.0.0/24" in host.sh(f"ip route show table {table}"))
    host.sh("ip addr del 172.31.0.1/24 dev eth0")
    wait_until(lambda: "172.31.0.0/24" not in host.sh(f"ip route show table {table}"))
    role.ends()
    assert str(0x2021FD00) not in host.state()


def test_another_way_out_is_told(host: Host, watching: Callable[[str, str], Watching]) -> None:
    host.tun()
    role = watching("client", "client")

    host.sh("ip route replace default via 10.0.0.3")

    assert role.hears() == "default-route"
    role.ends()


def test_rules_that_somebody_removed_come_back(
    host: Host,
    watching: Callable[[str, str], Watching],
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    host.tun()
    role = watching("gateway", "gateway")

    host.sh("ip rule del priority 100; ip route flush table 0x2021fd00")

    wait_until(lambda: "100:" in host.sh("ip rule"))
    assert "100.64.0.0/11" in host.sh("ip route show table 0x2021fd00")
    role.ends()


def test_a_device_that_somebody_deleted_is_told_and_set_up_again(
    host: Host, watching: Callable[[str, str], Watching]
) -> None:
    before = host.state()
    tun = host.tun()
    role = watching("client", "internet")

    tun.delete()
    assert role.hears() == "tun-deleted"
    host.tun()
    assert role.hears() == "tun-returned"
    assert role.hears() == "applied"
    assert "100.96.0.0/11 dev tun-firezone" in host.state()

    role.ends()
    assert host.state() == before
