"""What a role wants of its host, as data."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, ip_network

import pytest

from firezone.errors import ConfigError
from firezone.host.plan import (
    FIXED_NETWORKS,
    ClientNetwork,
    GatewayNetwork,
    Route,
    Table,
    attached_copies,
)

V4, V6 = IPv4Address("100.64.0.1"), IPv6Address("fd00:2021:1111::1")
BOTH = frozenset({4, 6})
OFFICE = IPv4Network("10.9.0.0/16")


def client(*, internet_resource: bool = False) -> ClientNetwork:
    return ClientNetwork("tun0", V4, V6, frozenset({OFFICE}), internet_resource)


def destinations(plan: ClientNetwork | GatewayNetwork, table: int) -> set[str]:
    return {r.destination for r in plan.wanted(BOTH).routes if r.table == table}


def test_a_client_routes_its_resources_and_the_fixed_networks() -> None:
    assert destinations(client(), Table.TUNNELLED) == {str(n) for n in (*FIXED_NETWORKS, OFFICE)}
    assert destinations(client(), Table.EVERYTHING) == set()


def test_without_an_internet_resource_one_rule_of_each_family_is_enough() -> None:
    rules = client().wanted(BOTH).rules

    assert sorted((r.family, r.priority, r.table, r.fwmark) for r in rules) == [
        (4, 100, 0x2021FD00, 0xFD002021),
        (6, 100, 0x2021FD00, 0xFD002021),
    ]


def test_an_internet_resource_takes_everything_after_attached_networks() -> None:
    plan = client(internet_resource=True)
    attached = frozenset({Route(Table.ATTACHED, "192.168.1.0/24", "eth0", 253, "192.168.1.5")})

    wanted = plan.wanted(BOTH, attached)

    assert destinations(plan, Table.EVERYTHING) == {"0.0.0.0/0", "::/0"}
    assert attached <= wanted.routes
    by_priority = sorted({(r.priority, r.table) for r in wanted.rules})
    assert by_priority == [(100, 0x2021FD00), (200, 0x2021FD01), (300, 0x2021FD02)]


def test_a_gateway_routes_the_tunnel_addresses_alone() -> None:
    plan = GatewayNetwork("tun0", V4, V6)

    assert destinations(plan, Table.TUNNELLED) == {"100.64.0.0/11", "fd00:2021:1111::/107"}
    assert destinations(plan, Table.EVERYTHING) == set()


def test_addresses_have_host_prefixes_whatever_they_were_given_with() -> None:
    plan = GatewayNetwork("tun0", IPv4Interface("100.64.0.1/11"), V6)

    assert {str(a) for a in plan.wanted(BOTH).addresses} == {
        "100.64.0.1/32",
        "fd00:2021:1111::1/128",
    }


@pytest.mark.parametrize("families", [frozenset({4}), frozenset({6})])
def test_a_family_that_the_host_lacks_is_left_out(families: frozenset[int]) -> None:
    wanted = client(internet_resource=True).wanted(families)

    assert {a.version for a in wanted.addresses} == families
    assert {r.family for r in wanted.routes} == families
    assert {r.family for r in wanted.rules} == families


def test_a_device_without_an_address_of_a_family_gets_no_routes_of_it() -> None:
    wanted = ClientNetwork("tun0", V4, None).wanted(BOTH)

    assert {r.family for r in wanted.routes} == {4}


def test_attached_networks_are_copied_and_nothing_else() -> None:
    main = [
        Route(254, "192.168.1.0/24", "eth0", 253, "192.168.1.5", 100),
        Route(254, "10.0.0.0/24", "down0", 253),
        Route(254, "100.64.0.9/32", "tun0", 253),
        Route(254, "0.0.0.0/0", "ppp0", 253),
        Route(254, "0.0.0.0/1", "eth0", 253),
        Route(254, "2001:db8::/64", "eth0", 0, None, 256),
        Route(254, "fe80::/64", "eth0", 0, None, 256),
        Route(254, "2000::/3", "eth0", 0, None, 256),
    ]

    copies = attached_copies(main, frozenset({"eth0", "ppp0", "tun0"}), "tun0")

    assert sorted(copies) == [
        Route(Table.ATTACHED, "192.168.1.0/24", "eth0", 253, "192.168.1.5", 100),
        Route(Table.ATTACHED, "2001:db8::/64", "eth0", 0, None, 256),
    ]


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a b", "a/b", 'a"b', "..", "tun*", "-a"])
def test_a_name_that_no_interface_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        GatewayNetwork(name, V4, V6)


@pytest.mark.parametrize("mtu", [0, 575, 1279, 65536])
def test_an_mtu_that_cannot_work_is_refused(mtu: int) -> None:
    with pytest.raises(ConfigError):
        GatewayNetwork("tun0", V4, V6, mtu=mtu)


@pytest.mark.parametrize("mark", [0, -1, 2**32])
def test_a_mark_that_would_loop_is_refused(mark: int) -> None:
    with pytest.raises(ConfigError):
        GatewayNetwork("tun0", V4, V6, fwmark=mark)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_everything_is_no_network_of_a_resource(network: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ClientNetwork("tun0", V4, V6, frozenset({ip_network(network)}))
    assert "internet = true" in (caught.value.hint or "")

    with pytest.raises(ConfigError):
        GatewayNetwork("tun0", V4, V6, client_networks=frozenset({ip_network(network)}))


def test_a_device_needs_an_address() -> None:
    with pytest.raises(ConfigError):
        ClientNetwork("tun0", None, None)


def test_tunnel_and_proxy_addresses_are_apart() -> None:
    tunnel4, tunnel6, proxy4, proxy6 = FIXED_NETWORKS[:4]

    assert not tunnel4.overlaps(proxy4)
    assert not tunnel6.overlaps(proxy6)
