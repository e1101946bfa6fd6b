"""The kernel cuts and joins for us, or does not: the same files arrive, in few or in many calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.system.transfers import MIB, fetch, send
from tests.system.two_machines import NAME

if TYPE_CHECKING:
    from tests.system.two_machines import Role, TwoMachines

FEW = 0.4
"""System calls per packet; a program that carries packets one by one needs more than one."""


def calls(machines: TwoMachines, role: Role) -> tuple[int, int]:
    """Return the system calls of an end's data plane so far, and the packets that it carried."""
    io = machines.call(role, "status")["io"]
    made = sum(count for name, count in io.items() if name.endswith("_calls"))
    return made, io["tun_read"] + io["tun_written"]


def carried(machines: TwoMachines, *, client: bool, gateway: bool) -> float:
    """Carry a file both ways; return the system calls that a packet took at one end."""
    machines.write_client(offloads=client)
    machines.write_gateway(offloads=gateway)
    machines.begin_both()
    digest = machines.payload(24 * MIB)
    before = [calls(machines, role) for role in ("client", "gateway")]

    for family in ("-4", "-6"):
        assert fetch(machines, f"http://{NAME}/file", family) == digest
        assert send(machines, f"http://{NAME}", family) == digest

    after = [calls(machines, role) for role in ("client", "gateway")]
    made, packets = (
        sum(end[i] - begin[i] for begin, end in zip(before, after, strict=True)) for i in (0, 1)
    )
    assert packets > 4 * 24 * MIB / 1280, "all of it went through the devices"
    return made / packets


def test_with_offloads_a_packet_takes_a_part_of_a_system_call(machines: TwoMachines) -> None:
    assert carried(machines, client=True, gateway=True) < FEW


@pytest.mark.parametrize("with_offloads", ["none", "client", "gateway"])
def test_without_offloads_at_one_end_or_both_everything_arrives_too(
    machines: TwoMachines, with_offloads: str
) -> None:
    ways = {"client": with_offloads == "client", "gateway": with_offloads == "gateway"}

    assert carried(machines, **ways) > FEW, "packet by packet"


def test_a_wire_without_segmentation_carries_the_same(machines: TwoMachines) -> None:
    machines.sends_datagrams_alone("client")
    machines.sends_datagrams_alone("gateway")

    assert carried(machines, client=True, gateway=True) < FEW, (
        "what comes alone is received at once"
    )


def test_an_offer_of_the_kernel_is_taken_by_the_device(connected: TwoMachines) -> None:
    for host, role in ((connected.client, "client"), (connected.gateway, "gateway")):
        device = connected.call(role, "status")["tun"]

        shown = connected.inside(host, "ip", "-details", "link", "show", "dev", device)

        assert "vnet_hdr on" in shown.stdout, shown.stdout


def test_the_queue_of_a_device_outlasts_a_wait_for_a_processor(connected: TwoMachines) -> None:
    for role in ("client", "gateway"):
        assert connected.host(role).link("tun-firezone")["txqlen"] == 10_000
