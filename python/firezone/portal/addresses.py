"""Tunnel addresses of devices (signaling §2.5).

A device has one number, and both its addresses follow from it: it is added to the first address of
each range. The reserved ranges lie outside, so no number leads to them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

__all__ = ["FIRST_HOST", "IPV4", "IPV6", "LAST_HOST", "RESERVED", "addresses"]

IPV4: Final = IPv4Network("100.64.0.0/11")
IPV6: Final = IPv6Network("fd00:2021:1111::/107")
FIRST_HOST: Final = 1
LAST_HOST: Final = 2**21 - 2
"""The last number of both ranges is nobody's, like 0."""
RESERVED: Final = (
    IPv4Network("100.96.0.0/11"),
    IPv6Network("fd00:2021:1111:8000::/107"),
    IPv4Network("100.100.111.0/24"),
    IPv6Network("fd00:2021:1111:8000:100:100:111:0/120"),
)
"""Proxy addresses of DNS resources and of the Clients' DNS servers."""


def addresses(host: int) -> tuple[IPv4Address, IPv6Address]:
    """Return the addresses of a device's number.

    Raises:
        ValueError: There is no such number.
    """
    if not FIRST_HOST <= host <= LAST_HOST:
        message = f"{host} is no number of a device"
        raise ValueError(message)
    return IPV4[host], IPV6[host]
