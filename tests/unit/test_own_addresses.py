"""The addresses of this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firezone.host.netlink import Netlink
from firezone.host.own_addresses import own_addresses

if TYPE_CHECKING:
    from pathlib import Path


def test_they_are_those_that_netlink_tells() -> None:
    with Netlink() as netlink:
        links = netlink.links().values()
        told = {str(address.ip) for link in links for address in netlink.addresses(link)}

    assert set(own_addresses()) >= told


def test_a_host_without_a_family_has_the_other(tmp_path: Path) -> None:
    assert own_addresses(tmp_path) == []
    (tmp_path / "if_inet6").write_text(
        "20010db8000000000000000000000001 02 40 00 80     eth0\n"
        "00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    assert own_addresses(tmp_path) == ["2001:db8::1", "::1"]


def test_only_what_is_local_is_ours(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Local:\n"
        "     |-- 192.0.2.0\n"
        "        /24 link UNICAST\n"
        "     |-- 192.0.2.2\n"
        "        /32 host LOCAL\n"
        "     |-- 192.0.2.255\n"
        "        /32 link BROADCAST\n"
        "     |-- 127.0.0.0\n"
        "        /31 link UNICAST\n"
        "        /8 host LOCAL\n"
        "     |-- 127.0.0.1\n"
        "        /8 link UNICAST\n"
        "        /32 host LOCAL\n"
    )

    assert own_addresses(tmp_path) == ["127.0.0.1", "192.0.2.2"]
