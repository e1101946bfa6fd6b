"""The text of our table; that it does what it says is shown with packets in tests/system."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from firezone.host.nftables import TCP_ANSWERED, UDP, ruleset, table_name
from firezone.host.plan import ClientNetwork, GatewayNetwork

V4, V6 = IPv4Address("100.64.0.1"), IPv6Address("fd00:2021:1111::1")
BOTH = frozenset({4, 6})
GATEWAY = GatewayNetwork("tun0", V4, V6)
CLIENT = ClientNetwork("tun0", V4, V6)


def test_each_role_has_a_table_of_its_own() -> None:
    assert table_name(CLIENT) == "firezone-client"
    assert table_name(GATEWAY) == "firezone-gateway"


@pytest.mark.parametrize("plan", [CLIENT, GATEWAY])
def test_the_table_is_made_anew_in_one_transaction(plan: ClientNetwork | GatewayNetwork) -> None:
    name = table_name(plan)

    assert ruleset(plan, BOTH).startswith(
        f"table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n"
    )


def test_a_client_only_drops_what_comes_in_elsewhere() -> None:
    text = ruleset(CLIENT, BOTH)

    assert 'iifname != { "lo", "tun0" } ip daddr 100.64.0.1 drop' in text
    assert 'iifname != { "lo", "tun0" } ip6 daddr fd00:2021:1111::1 drop' in text
    assert "forward" not in text
    assert "masquerade" not in text


def test_the_kernel_keeps_flows_as_long_as_the_nat_does() -> None:
    text = ruleset(GATEWAY, BOTH)

    for state in ("established", "fin_wait", "close_wait", "retrans", "unack"):
        assert f"{state} : {TCP_ANSWERED}" in text
    assert f"unreplied : {UDP}, replied : {UDP}" in text


def test_what_nobody_asked_for_does_not_reach_clients() -> None:
    lines = [line.strip() for line in ruleset(GATEWAY, BOTH).splitlines()]

    accepted = lines.index('oifname "tun0" ct state established,related accept')
    assert lines[accepted + 1] == 'oifname "tun0" drop'


def test_a_routed_site_is_not_masqueraded() -> None:
    assert "masquerade" in ruleset(GATEWAY, BOTH)
    assert "masquerade" not in ruleset(GatewayNetwork("tun0", V4, V6, masquerade=False), BOTH)


def test_a_family_that_the_host_lacks_is_left_out() -> None:
    text = ruleset(GATEWAY, frozenset({4}))

    assert "ip6" not in text
    assert "ipv6" not in text
