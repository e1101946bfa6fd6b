"""wireguard-go in the place of our Gateway and of our Client: networks through both, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.system.plain_wireguard import WIREGUARD_GO, PlainWireGuard
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
    assert plain.endpoint().startswith(f"{plain.other_place}:")
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
