"""An address with a port, as people and the core write it: `192.0.2.1:53`, `[2001:db8::1]:53`."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import NamedTuple

__all__ = ["SocketAddress", "is_port", "parse"]


class SocketAddress(NamedTuple):
    """Where something is sent.

    Args:
        address: The address; one of a single link has its device behind `%`.
        port: 1 to 65535.
    """

    address: str
    port: int

    def __str__(self) -> str:
        """Return it as people write it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def numbered(self) -> SocketAddress:
        """Return it as the core reads it: devices are numbers there.

        Raises:
            ValueError: There is no such device.
        """
        address, _, device = self.address.partition("%")
        if not device or device.isdecimal():
            return self
        try:
            number = socket.if_nametoindex(device)
        except OSError as error:
            message = f"there is no device {device}"
            raise ValueError(message) from error
        return self._replace(address=f"{address}%{number}")


def parse(text: str, *, port: int | None = None) -> SocketAddress:
    """Read an address and a port; an IPv6 address before a port stands in brackets.

    Args:
        text: What somebody wrote.
        port: Of an address alone; None wants it written.

    Raises:
        ValueError: It is none.
    """
    host, colon, digits = text.rpartition(":")
    has_brackets = host.startswith("[") and host.endswith("]")
    if has_brackets or text.count(":") == 1:
        if not is_port(digits):
            message = "its port is no number from 1 to 65535"
            raise ValueError(message)
        host, port = host.removeprefix("[").removesuffix("]"), int(digits)
    else:
        host, colon = text, ""
    if port is None or has_brackets != (bool(colon) and ip_address(host).version == 6):  # noqa: PLR2004
        message = "expected an address and a port, like 192.0.2.1:9090 or [2001:db8::1]:9090"
        raise ValueError(message)
    return SocketAddress(str(ip_address(host)), port)


def is_port(digits: str) -> bool:
    """Return whether a text is a number from 1 to 65535."""
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len("65535")
    return is_number and 0 < int(digits) < 2**16
