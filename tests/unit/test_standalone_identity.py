"""Ids and addresses that both sides find by themselves."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from firezone import keys
from firezone.standalone.identity import peer_id, resource_id, tunnel_addresses
from firezone.standalone.tables import read_client, read_gateway

if TYPE_CHECKING:
    from pathlib import Path


def test_both_sides_find_the_same(tmp_path: Path) -> None:
    client, gateway = (keys.create(tmp_path / f"{role}.key") for role in ("client", "gateway"))
    resource = '[[resource]]\nname = "{}"\ndns = "{}"\n[[resource]]\nname = "n"\ncidr = "{}"\n'
    here, there = tmp_path / "client.toml", tmp_path / "gateway.toml"
    peer = f'[[gateway]]\nname = "o"\npublic_key = "{gateway}"\nendpoint = "192.0.2.1:1"\n'
    here.write_text(peer + resource.format("web", "*.Corp.example", "2001:db8:0::/32"))
    peer = f'[[client]]\nname = "laptop"\npublic_key = "{client}"\n'
    there.write_text(peer + resource.format("intranet", "*.corp.example", "2001:db8::/32"))

    asks, serves = read_client(here), read_gateway(there)

    assert [r.id for r in asks.resource] == [r.id for r in serves.resource]
    assert asks.gateway[0].id == peer_id(gateway)
    assert asks.gateway[0].tunnel == tunnel_addresses(gateway)
    assert serves.client[0].id == peer_id(client)
    assert serves.client[0].tunnel == tunnel_addresses(client)


def test_they_are_those_of_former_releases() -> None:
    """A change here would part Clients from Gateways of another release."""
    key = "jLzA3oWrI2b8JvAB0kDVJG8mDT4BsVoJkSHnWtyl40Y="

    assert [str(address) for address in tunnel_addresses(key)] == ADDRESSES
    assert peer_id(key) == PEER
    assert resource_id("dns", "*.CORP.example") == RESOURCE


ADDRESSES = ["100.88.77.101", "fd00:2021:1111::18:4d65"]
PEER = "95d37623-1df9-5f43-9515-f2048e93b84f"
RESOURCE = "6c881e7c-6566-5019-98c2-b9fe94e516e7"


def test_addresses_are_of_the_two_ranges_and_differ() -> None:
    found = [tunnel_addresses(f"key {number}") for number in range(1000)]

    assert all(ipv4 in IPv4Network("100.64.0.0/11") for ipv4, _ in found)
    assert all(ipv6 in IPv6Network("fd00:2021:1111::/107") for _, ipv6 in found)
    assert len(set(found)) >= 999, "two of a thousand rarely meet"
