"""wireguard-go in the place of our Gateway and of our Client: networks through both, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.system.hostile import SPOOF
from tests.system.plain_wireguard import ADDRESSES, WIREGUARD_GO, PlainWireGuard
from tests.system.transfers import MIB, Loading, fetch, send
from tests.system.two_machines import SITE, TwoMachines

if TYPE_CHECKING:
    from tests.system.two_machines import Role

ROLES: list[Role] = ["gateway", "client"]


@pytest.mark.parametrize("role", ROLES)
def test_wireguard_go_carries_files_both_ways_and_follows_who_moves(
    machines: TwoMachines, role: Role
) -> None:
    plain = PlainWireGuard(machines, role, WIREGUARD_GO)
    plain.begin()
    digest = machines.payload(16 * MIB)

    for url in (f"http://{SITE[0]}", f"http://[{SITE[1]}]"):
        assert fetch(machines, f"{url}/file") == digest
        assert send(machines, url) == digest
    assert plain.handshake() > 0
    assert min(plain.transferred()) > 2 * 16 * MIB, "all of it went through the tunnel"

    moved = Loading(machines, f"http://{SITE[0]}/file")
    plain.move_other()
    moved.grows()
    # What was on its way from the old place goes on arriving for a moment.
    machines.wait(lambda: plain.endpoint().startswith(f"{plain.other_place}:"), "it follows")
    plain.move()
    assert moved.ended() == digest
    assert plain.place_known_to_other() == plain.place


def test_what_is_too_large_for_our_gateway_is_told_to_its_sender(machines: TwoMachines) -> None:
    plain = PlainWireGuard(machines, "client", WIREGUARD_GO)
    plain.begin()

    # The plain device takes 1420 bytes, ours 1280.
    told = {"-4": "mtu = 1280", "-6": "mtu=1280"}
    for site, family in zip(SITE, told, strict=True):
        ping = ("ping", family, "-M", "do", "-c", "1", "-W", "5", "-s", "1360", site)
        pinged = machines.inside(machines.client, *ping)
        assert told[family] in pinged.stdout.replace("mtu 1280", "mtu=1280"), pinged.stdout


def test_a_plain_client_that_allows_itself_everything_gains_nothing(machines: TwoMachines) -> None:
    plain = PlainWireGuard(machines, "client", WIREGUARD_GO)
    plain.begin()
    plain.allow_itself_everything()
    # A network of the site that is no resource, so that what leaks is seen there.
    machines.gateway.ip("route add 10.99.0.0/24 via 10.77.0.2 dev lan")
    watch = ("tcpdump", "-n", "-U", "-l", "-i", "lan", "udp", "port", "7777")
    machines.start("watch", machines.site, *watch)
    machines.wait(lambda: "listening on" in machines.output("watch"), "tcpdump")

    def prohibited() -> int:
        count: int = machines.call("gateway", "counters")[0]["refused"]["prohibited"]
        return count

    assert fetch(machines, f"http://{SITE[0]}/whoami"), "there is a session"
    script = machines.script("spoof", SPOOF)
    # To each 200 packets with addresses of others and one with its own, which may go to the site.
    refused = {"10.99.0.1": 201, "100.64.9.9": 402, SITE[0]: 602}
    for target, count in refused.items():
        ends = (target, "100.64.99.99", ADDRESSES["client"][0])
        done = machines.inside(machines.client, *script, plain.device, *ends)
        assert done.returncode == 0, done.stderr
        # One after the other: the device has room for 500.
        machines.wait(lambda count=count: prohibited() == count, f"{count} are refused")

    machines.wait(lambda: "length 3" in machines.output("watch"), "the packet that is allowed")
    came = [line for line in machines.output("watch").splitlines() if "length" in line]
    assert len([line for line in came if "7777" in line]) == 1, came
