"""What breaks around a tunnel: the way, the device, the sender. Transfers go on, or it is told."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.system.hostile import FLOOD, INJECT, SPOOF
from tests.system.newcomer import Newcomer
from tests.system.transfers import MIB, Loading, fetch
from tests.system.two_machines import NAME, SITE, TwoMachines

if TYPE_CHECKING:
    from tests.system.two_machines import Role

    from firezone.lab.namespaces import Namespace

URL = f"http://{NAME}/file"
ALL = bool(os.environ.get("FIREZONE_TEST_ALL"))
SILENCE = 30 if ALL else 5
"""Seconds that the underlay is down."""


def look(machines: TwoMachines, host: Namespace) -> list[list[str]]:
    """Return what a host has of addresses, routes, rules and packet filters."""
    commands = ("ip rule; ip -6 rule", "ip route show table all", "nft list ruleset")
    return [machines.inside(host, "sh", "-c", text).stdout.splitlines() for text in commands]


def events(machines: TwoMachines, name: str, event: str) -> list[dict[str, object]]:
    """Return the lines of a log that tell of an event."""
    lines = (line for line in machines.output(name).splitlines() if f'"{event}"' in line)
    return [json.loads(line) for line in lines]


def nft(machines: TwoMachines, host: Namespace, text: str) -> None:
    done = machines.inside(host, "nft", text)
    assert done.returncode == 0, done.stderr


def test_a_transfer_goes_on_when_the_clients_underlay_address_changes(
    connected: TwoMachines,
) -> None:
    digest = connected.payload(24 * MIB)
    loading = Loading(connected, URL)

    connected.client.ip("address del 192.0.2.1/24 dev wan", "address add 192.0.2.9/24 dev wan")

    assert loading.ended() == digest
    peer = connected.call("gateway", "status")["peers"][0]
    assert peer["address"].startswith("192.0.2.9:")


def test_a_transfer_goes_on_after_the_underlay_was_down(connected: TwoMachines) -> None:
    digest = connected.payload(24 * MIB)
    loading = Loading(connected, URL, patience=120 + 4 * SILENCE)

    # By the packet filter: routes stay, as behind a switch that lost its power.
    nft(connected, connected.gateway, "add table inet cut")
    chain = "add chain inet cut {} {{ type filter hook {} priority 0 ; policy drop ; }}"
    nft(connected, connected.gateway, chain.format("ins", "input"))
    size = loading.size
    silent = connected.inside(connected.client, "sleep", str(SILENCE))
    assert silent.returncode == 0
    assert loading.size - size < 8 * MIB, "nothing but what had left already"
    nft(connected, connected.gateway, "delete table inet cut")

    assert loading.ended() == digest


@pytest.mark.parametrize("endpoint", ["192.0.2.2:52625", "[2001:db8::2]:52625"])
def test_a_transfer_goes_on_when_the_underlays_mtu_falls(
    machines: TwoMachines, endpoint: str
) -> None:
    machines.write_gateway()
    machines.write_client(endpoint)
    machines.begin_both()
    digest = machines.payload(16 * MIB)
    loading = Loading(machines, URL)

    # Less than a full datagram of ours: 1280 bytes, and WireGuard's, UDP's and IP's headers.
    for host in (machines.client, machines.gateway):
        host.ip("link set wan mtu 1300")

    assert loading.ended() == digest
    assert fetch(machines, f"http://[{SITE[1]}]/file") == digest


def test_a_kernel_that_refuses_to_send_is_told_once_and_the_transfer_goes_on(
    connected: TwoMachines,
) -> None:
    digest = connected.payload(24 * MIB)
    loading = Loading(connected, URL)

    nft(connected, connected.gateway, "add table inet refuse")
    nft(
        connected,
        connected.gateway,
        "add chain inet refuse out { type filter hook output priority 0 ; }",
    )
    nft(connected, connected.gateway, "add rule inet refuse out udp sport 52625 drop")

    def dropped() -> int:
        count: int = connected.call("gateway", "status")["io"]["datagrams_dropped"]
        return count

    connected.wait(lambda: dropped() > 10, "refused datagrams are counted")
    nft(connected, connected.gateway, "delete table inet refuse")

    assert loading.ended() == digest
    told = events(connected, "gateway", "udp.failed")
    assert len(told) == 1, told
    assert "Operation not permitted" in str(told[0]["error"])


@pytest.mark.parametrize("role", ["client", "gateway"])
def test_a_device_that_somebody_deletes_ends_the_program_with_a_reason(
    machines: TwoMachines, role: Role
) -> None:
    host = machines.host(role)
    before = look(machines, host)
    machines.write_gateway()
    machines.write_client()
    machines.begin("gateway")
    machines.begin("client")
    tun = machines.call(role, "status")["tun"]

    host.ip(f"link delete {tun}")

    code = machines.running[role].wait(30)
    said = machines.output(role)
    assert code not in (0, None)
    assert f"the TUN device {tun} is gone" in said
    assert "Traceback" not in said
    assert look(machines, host) == before


def test_hosts_without_ipv6_have_ipv4(machines: TwoMachines) -> None:
    for host in (machines.client, machines.gateway):
        host.sysctl({"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"})
    machines.write_gateway()
    machines.write_client()
    machines.begin_both()
    digest = machines.payload(4 * MIB)

    assert fetch(machines, URL, "-4") == digest
    assert fetch(machines, f"http://{SITE[0]}/file") == digest


def test_a_client_begins_although_its_gateways_name_finds_nobody_who_answers(
    machines: TwoMachines,
) -> None:
    machines.write_client("gw.example.net:52625", dns_servers=["192.0.2.2"])
    nft(machines, machines.gateway, "add table inet silent")
    chain = "add chain inet silent ins { type filter hook input priority 0 ; }"
    nft(machines, machines.gateway, chain)
    nft(machines, machines.gateway, "add rule inet silent ins udp dport 53 drop")
    machines.client.use_nameserver("192.0.2.2")

    machines.begin("client")

    machines.wait(lambda: events(machines, "client", "gateway.later"), "it is told")
    machines.use_client_dns()
    asked = machines.inside(machines.client, "getent", "ahosts", NAME)
    assert asked.stdout.startswith(("100.96.", "fd00:2021:1111:8000"))


def test_a_flood_of_handshakes_stops_nobody(machines: TwoMachines) -> None:
    newcomer = Newcomer(machines)
    newcomer.write_gateway()
    machines.write_client()
    machines.begin_both()
    digest = machines.payload(24 * MIB)
    loading = Loading(machines, URL)

    script = machines.script("flood", FLOOD)
    many = ("52625", "50000", "3")
    flood = machines.start("flood", machines.client, *script, machines.keys["gateway"], *many)
    machines.wait(lambda: "flooding" in machines.output("flood"), "the flood")
    newcomer.begin()

    assert flood.wait(60) == 0, machines.output("flood")
    assert loading.ended() == digest


def test_who_sends_from_an_address_that_is_not_his_reaches_nobody(connected: TwoMachines) -> None:
    assert fetch(connected, f"http://{SITE[0]}/whoami")
    watch = ("tcpdump", "-n", "-U", "-l", "-i", "lan", "udp", "port", "7777")
    connected.start("watch", connected.site, *watch)
    connected.wait(lambda: "listening on" in connected.output("watch"), "tcpdump")
    script = connected.script("spoof", SPOOF)
    tun = connected.call("client", "status")["tun"]
    own = connected.call("client", "status")["addresses"][0]

    done = connected.inside(connected.client, *script, tun, SITE[0], "100.64.99.99", own)

    assert done.returncode == 0, done.stderr
    # The last one is from the right address: when it has come, the others would have.
    connected.wait(lambda: "length 3" in connected.output("watch"), "the packet that is allowed")
    came = [line for line in connected.output("watch").splitlines() if "7777" in line]
    assert len([line for line in came if "length" in line]) == 1, came


def test_replayed_and_corrupted_datagrams_change_nothing(connected: TwoMachines) -> None:
    digest = connected.payload(24 * MIB)
    connected.sends_datagrams_alone("client")
    loading = Loading(connected, URL)

    done = connected.inside(connected.client, *connected.script("inject", INJECT), "192.0.2.2")

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2, "as many datagrams were sent again"
    assert loading.ended() == digest
    counters = connected.call("gateway", "counters")[0]
    assert counters["datagrams"]["replayed"] > 0
    assert counters["datagrams"]["refused"] > 0
