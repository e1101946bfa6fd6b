"""Two Gateways serve one resource, and one of them dies."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.system.second_gateway import SecondGateway
from tests.system.transfers import MIB, Loading, fetch
from tests.system.two_machines import NAME, SITE, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Iterator

RESET = 56
"""What curl ends with when the other end resets a connection."""


@pytest.fixture
def two_gateways(machines: TwoMachines) -> Iterator[TwoMachines]:
    with SecondGateway(machines) as second:
        machines.write_gateway()
        second.write_client()
        second.begin()
        machines.begin_both()
        yield machines


@pytest.mark.parametrize("host", [NAME, SITE[0]])
def test_new_connections_take_the_other_gateway_and_those_of_the_dead_one_are_reset(
    two_gateways: TwoMachines, host: str
) -> None:
    url = f"http://{host}"
    two_gateways.payload(32 * MIB)
    loading = Loading(two_gateways, f"{url}/file", rate="2M")

    two_gateways.end("gateway", signal.SIGKILL)

    # Those that begin before its death is noticed are reset as well.
    patiently = ("--retry", "10", "--retry-all-errors", "--retry-delay", "1")
    for _ in range(10):
        assert fetch(two_gateways, f"{url}/whoami", *patiently)
    two_gateways.wait(lambda: loading.is_over, "the end of the lost connection")
    assert two_gateways.running["loading"].returncode == RESET
    assert "reset by peer" in two_gateways.output("loading").lower()
