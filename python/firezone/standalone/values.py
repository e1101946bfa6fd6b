"""The values of a standalone file's tables: what each may be, and what is said when it is not."""

from __future__ import annotations

import datetime as dt
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Final

from pydantic import BeforeValidator, SecretStr

from firezone.socket_address import is_port

__all__ = [
    "Addresses",
    "Endpoint",
    "FixedEndpoint",
    "Flag",
    "Keepalive",
    "Key",
    "Network",
    "Ports",
    "Secret",
    "Text",
    "Texts",
    "Until",
    "filter_of",
    "host_and_port",
]

_PORTS: Final = re.compile(r"(?P<protocol>tcp|udp)(/(?P<first>\d+)(-(?P<last>\d+))?)?|icmp")
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
"""32 bytes: the last of 43 digits carries four bits alone."""
_HIGHEST_PORT: Final = 2**16 - 1


def host_and_port(text: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 address stands in brackets, and only one does.

    Raises:
        ValueError: It is none.
    """
    host, colon, digits = text.rpartition(":")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_whole = bool(colon and inner) and not set(inner) & set("[]/ \t\n")
    if not (is_whole and is_port(digits)) or (inner != host) != (":" in inner):
        message = "an endpoint is host:port, like gw.example.net:52625 or [2001:db8::1]:52625"
        raise ValueError(message)
    return inner, int(digits)


def filter_of(text: str) -> dict[str, object]:
    """Return the core's filter for a text like `tcp/8000-8100`.

    Raises:
        ValueError: It is none.
    """
    match = _PORTS.fullmatch(text)
    if match is None:
        message = f"{text!r} is none of tcp, tcp/443, tcp/8000-8100, udp, udp/..., icmp"
        raise ValueError(message)
    protocol = match["protocol"]
    if protocol is None:
        return {"protocol": "icmp"}
    first = int(match["first"] or 0)
    last = int(match["last"] or match["first"] or _HIGHEST_PORT)
    if not first <= last <= _HIGHEST_PORT:
        message = f"{text!r} is no range of ports"
        raise ValueError(message)
    return {"protocol": protocol, "port_range_start": first, "port_range_end": last}


def _text(value: object) -> object:
    if not isinstance(value, str) or not value or not value.isprintable():
        message = "expected a text that is not empty, in quotes"
        raise ValueError(message)
    return value


def _list(value: object) -> object:
    if not isinstance(value, list | tuple):
        message = 'expected a list, like ["a", "b"]'
        raise ValueError(message)  # noqa: TRY004 - pydantic collects this one
    return value


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        message = "expected true or false"
        raise ValueError(message)  # noqa: TRY004
    return value


def _key(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not _KEY.fullmatch(text):
        # What was given is not repeated: it may be secret.
        message = "a key is 32 bytes in base64, which are 44 characters"
        raise ValueError(message)
    return value


def _endpoint(value: object) -> object:
    host_and_port(str(_text(value)))
    return value


def _fixed(value: object) -> object:
    host, _ = host_and_port(str(_text(value)))
    try:
        ip_address(host)
    except ValueError:
        # A Gateway looks up no names of its Clients: who moves speaks first.
        message = f"expected an address and a port; {host!r} is a name"
        raise ValueError(message) from None
    return value


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = str(_text(value))
    try:
        wide = ip_network(text, strict=False)
    except ValueError:
        message = f"{text!r} is no network, like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7"
        raise ValueError(message) from None
    if str(wide.network_address) != str(ip_address(text.partition("/")[0])):
        message = f"{text!r} has bits behind its prefix; the network is {wide}"
        raise ValueError(message)
    return wide


def _pair(value: object) -> object:
    try:
        first, second = value if isinstance(value, list | tuple) else ("", "")
        return IPv4Address(str(first)), IPv6Address(str(second))
    except ValueError:
        message = 'expected an IPv4 and an IPv6 address, like ["100.64.0.9", "fd00:2021:1111::9"]'
        raise ValueError(message) from None


def _keepalive(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= float(str(value)) <= _HIGHEST_PORT):
        message = "expected a number of seconds, at most 65535; 0 is none"
        raise ValueError(message)
    return value


def _until(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    message = "expected a date and a time without quotes, like 2027-01-31T18:00:00Z"
    raise ValueError(message)


def _ports(value: object) -> object:
    filter_of(str(_text(value)))
    return value


Text = Annotated[str, BeforeValidator(_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_list)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Key = Annotated[str, BeforeValidator(_key)]
Secret = Annotated[SecretStr, BeforeValidator(_key)]
Endpoint = Annotated[str, BeforeValidator(_endpoint)]
FixedEndpoint = Annotated[str, BeforeValidator(_fixed)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Addresses = Annotated[tuple[IPv4Address, IPv6Address], BeforeValidator(_pair)]
Keepalive = Annotated[float, BeforeValidator(_keepalive)]
Until = Annotated[dt.datetime, BeforeValidator(_until)]
Ports = Annotated[tuple[Annotated[str, BeforeValidator(_ports)], ...], BeforeValidator(_list)]
