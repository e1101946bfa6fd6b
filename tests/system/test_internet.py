"""The Internet resource between two hosts: everything goes through the Gateway but what is near."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.system.transfers import MIB, fetch
from tests.system.two_machines import SITE, UNDERLAY

if TYPE_CHECKING:
    from tests.system.two_machines import TwoMachines

FAR = ("198.51.100.7", "2001:db8:7::7")
INTERNET = {"name": "everything", "internet": True}


def write_files(machines: TwoMachines, *, active: bool) -> None:
    """Write both files: the Internet resource alone."""
    gateway = {
        "name": "office",
        "public_key": machines.keys["gateway"],
        "endpoint": f"{UNDERLAY['gateway'][0]}:52625",
    }
    client = {"name": "laptop", "public_key": machines.keys["client"], "resources": ["everything"]}
    settings: dict[str, object] = {"activate_internet_resource": active}
    machines.write("client", settings, {"gateway": [gateway], "resource": [INTERNET]})
    machines.write("gateway", {}, {"client": [client], "resource": [INTERNET]})


@pytest.fixture
def machines(machines: TwoMachines) -> TwoMachines:
    """Two hosts of which the Gateway's alone has a way to addresses far away."""
    machines.site.ip(f"address add {FAR[0]}/32 dev lo", f"address add {FAR[1]}/128 dev lo nodad")
    machines.gateway.ip(
        "route add default via 10.77.0.2 dev lan", "route add default via fd77::2 dev lan"
    )
    return machines


def test_what_is_far_goes_through_the_gateway_and_what_is_near_does_not(
    machines: TwoMachines,
) -> None:
    write_files(machines, active=True)
    machines.begin("gateway")
    machines.begin("client")
    digest = machines.payload(4 * MIB)

    assert fetch(machines, f"http://{FAR[0]}/file") == digest
    assert fetch(machines, f"http://[{FAR[1]}]/file") == digest
    # A neighbour is reached directly: only it, and not the tunnel, knows the way back.
    near = machines.inside(machines.client, "ip", "route", "get", UNDERLAY["gateway"][0])
    assert "dev wan" in near.stdout
    for inside in SITE:
        refused = machines.inside(machines.client, "ping", "-c", "1", "-W", "5", inside)
        assert refused.returncode == 1
        assert "nreachable" in refused.stdout, refused.stdout
    told = machines.call("client", "status")["resources"]
    assert told == [{"name": "everything", "address": "the internet", "ports": []}]


def test_it_is_inactive_until_it_is_activated(machines: TwoMachines) -> None:
    write_files(machines, active=False)
    machines.begin("gateway")
    machines.begin("client")

    curl = machines.inside(machines.client, "curl", "-sS", "-m", "5", f"http://{FAR[0]}/file")

    assert curl.returncode == 7, curl.stderr
    assert '"internet.inactive"' in machines.output("client")


def test_a_reload_takes_it_on_and_gives_it_up(machines: TwoMachines) -> None:
    def way() -> str:
        return machines.inside(machines.client, "ip", "route", "get", FAR[0]).stdout

    write_files(machines, active=True)
    whole = machines.file("client").read_text()
    machines.file("client").write_text(whole.partition("[[resource]]")[0])
    machines.begin("gateway")
    machines.begin("client")
    before = machines.inside(machines.client, "ip", "rule").stdout
    assert "tun-firezone" not in way()

    machines.file("client").write_text(whole)
    machines.call("client", "reload")

    assert "tun-firezone" in way()
    page = ("curl", "-sS", "--fail", "-m", "20", f"http://{FAR[0]}/whoami")
    assert machines.inside(machines.client, *page).returncode == 0

    machines.file("client").write_text(whole.partition("[[resource]]")[0])
    machines.call("client", "reload")

    assert "tun-firezone" not in way()
    assert machines.inside(machines.client, "ip", "rule").stdout == before
