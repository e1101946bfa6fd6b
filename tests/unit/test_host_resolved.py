"""systemd-resolved: the commands, and what it says of the host's servers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from firezone.host.dns.resolved import commands
from firezone.host.dns.resolver_source import parse_resolvectl

SENTINELS = (ip_address("100.100.111.1"), ip_address("fd00:2021:1111:8000:100:100:111:0"))
SHOWN = """\
Global: 10.0.0.53 100.100.111.1
Link 2 (eth0): 192.0.2.53 fe80::1%2 10.0.0.53
Link 3 (wlan0):
Link 4 (tun-firezone): 100.100.111.1 192.0.2.99
Link 5 (eth1): 192.0.2.54:5353#dns.example [2001:db8::53]:5300 2001:db8::54#dns.example nonsense
"""


def test_all_names_are_asked_at_the_sentinels() -> None:
    assert commands("tun0", SENTINELS, ["corp.example"], match_all=True) == [
        ["resolvectl", "dns", "tun0", *map(str, SENTINELS)],
        ["resolvectl", "domain", "tun0", "corp.example", "~."],
        ["resolvectl", "llmnr", "tun0", "true"],
    ]


def test_without_domains_there_are_none() -> None:
    assert commands("tun0", SENTINELS, [], match_all=False)[1] == [
        "resolvectl",
        "domain",
        "tun0",
        "",
    ]


def test_the_hosts_servers_are_those_of_other_devices() -> None:
    assert parse_resolvectl(SHOWN, "tun-firezone") == (
        "10.0.0.53",
        "192.0.2.53",
        "fe80::1%2",
        "192.0.2.54:5353",
        "[2001:db8::53]:5300",
        "2001:db8::54",
    )


@pytest.mark.parametrize("text", ["", "Global:", "nonsense\n", "Link 2 (eth0)\n", "Global: :::\n"])
def test_what_names_no_server_has_none(text: str) -> None:
    assert parse_resolvectl(text, "tun0") == ()
