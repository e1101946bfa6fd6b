"""The tables of a standalone file, read and checked.

A Client's file has `[[gateway]]` and `[[resource]]`, a Gateway's has `[[client]]` and
`[[resource]]`; what else stands in the file are settings.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations
import difflib
import re
import tomllib
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError

from firezone.errors import ConfigError

from .identity import Addresses, peer_id, resource_id, tunnel_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "ClientTable",
    "ClientTables",
    "GatewayTable",
    "GatewayTables",
    "ResourceTable",
    "read_client",
    "read_gateway",
]

_PORTS: Final = re.compile(r"(?P<protocol>tcp|udp)(/(?P<first>\d+)(-(?P<last>\d+))?)?|icmp")
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=")
_HIGHEST_PORT: Final = 2**16 - 1


def _key(value: object) -> object:
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        message = "a key is 32 bytes in base64, which are 44 characters"
        raise ValueError(message)
    return value


def _endpoint(value: object) -> object:
    host, colon, port = str(value).rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        message = "an endpoint is host:port, like gw.example.net:52625 or [2001:db8::1]:52625"
        raise ValueError(message)
    return value


def _fixed(value: object) -> object:
    host = str(_endpoint(value)).rpartition(":")[0]
    # A Gateway looks up no names of its Clients: who moves speaks first.
    ip_address(host.removeprefix("[").removesuffix("]"))
    return value


def _filter(text: str) -> dict[str, object]:
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


Key = Annotated[str, BeforeValidator(_key)]
EndpointText = Annotated[str, BeforeValidator(_endpoint)]
FixedEndpoint = Annotated[str, BeforeValidator(_fixed)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResourceTable(_Table):
    """`[[resource]]`: names or a network, and the ports that may be used.

    Args:
        name: What people call it, and what other tables refer to it by.
        dns: A pattern of names, like `*.corp.example`.
        cidr: A network or one address.
        ports: Like `tcp/443`, `tcp/8000-8100`, `udp`, `icmp`; none lets everything pass.
        ip_stack: Which addresses a name gets.
        gateways: On a Client: names of the Gateways that serve it, the most wanted first; none
            means all.
    """

    name: str
    dns: str | None = None
    cidr: IPv4Network | IPv6Network | None = None
    ports: tuple[str, ...] = ()
    ip_stack: Literal["dual", "ipv4_only", "ipv6_only"] = "dual"
    gateways: tuple[str, ...] = ()

    def model_post_init(self, _context: object) -> None:
        """Check what one field alone cannot tell."""
        if (self.dns is None) == (self.cidr is None):
            message = "a resource has either dns or cidr"
            raise ValueError(message)
        for port in self.ports:
            _filter(port)

    @property
    def id(self) -> str:
        """Its id, the same on both sides."""
        return resource_id("dns" if self.dns is not None else "cidr", str(self.dns or self.cidr))

    def command(self) -> dict[str, object]:
        """Return the core's `Resource`."""
        target: dict[str, object] = (
            {"type": "dns", "address": self.dns, "ip_stack": self.ip_stack}
            if self.dns is not None
            else {"type": "cidr", "address": str(self.cidr)}
        )
        filters = [_filter(port) for port in self.ports]
        return {"id": self.id, "name": self.name, "filters": filters, **target}


class _Peer(_Table):
    """What both kinds of peers have.

    Args:
        name: What people call it.
        public_key: Its key, base64.
        preshared_key: A secret that only the two share.
        addresses: Its tunnel addresses, IPv4 and IPv6; by default those of its key.
        persistent_keepalive: Seconds between empty messages; for paths that close when idle.
        plain: Whether it is any other WireGuard program and not firezone's.
    """

    name: str
    public_key: Key
    preshared_key: SecretStr | None = None
    addresses: tuple[IPv4Address, IPv6Address] | None = None
    persistent_keepalive: float | None = None
    plain: bool = False

    @property
    def id(self) -> str:
        """Its id."""
        return peer_id(self.public_key)

    @property
    def tunnel(self) -> Addresses:
        """Its tunnel addresses."""
        return self.addresses or tunnel_addresses(self.public_key)

    def reached_at(self, address: str | None) -> dict[str, object]:
        """Return the core's `Endpoint`."""
        endpoint: dict[str, object] = {
            "session": "wireguard",
            "public_key": self.public_key,
            "profile": "plain" if self.plain else "firezone",
        }
        if self.preshared_key is not None:
            endpoint["preshared_key"] = self.preshared_key.get_secret_value()
        if self.persistent_keepalive:
            endpoint["persistent_keepalive"] = self.persistent_keepalive
        if address is not None:
            endpoint["address"] = address
        return endpoint

    def command(self, address: str | None) -> dict[str, object]:
        """Return the core's `GatewayPeer` or `ClientPeer`.

        Args:
            address: Where it is reached; None waits until it speaks.
        """
        ipv4, ipv6 = self.tunnel
        endpoint = self.reached_at(address)
        return {"id": self.id, "ipv4": str(ipv4), "ipv6": str(ipv6), "endpoint": endpoint}


class GatewayTable(_Peer):
    """`[[gateway]]` of a Client.

    Args:
        endpoint: Where it is reached: `host:port`.
    """

    endpoint: EndpointText


class ClientTable(_Peer):
    """`[[client]]` of a Gateway.

    Args:
        resources: Names of what it may use.
        until: When its access ends; none means never.
        endpoint: Its address and port, if it has a fixed place; else it speaks first.
    """

    resources: tuple[str, ...] = ()
    until: dt.datetime | None = None
    endpoint: FixedEndpoint | None = None


class ClientTables(_Table):
    """All tables of a Client's file."""

    gateway: tuple[GatewayTable, ...] = ()
    resource: tuple[ResourceTable, ...] = ()

    def model_post_init(self, _context: object) -> None:
        """Check references and what must differ."""
        _check_peers(self.gateway)
        _check_resources(self.resource)
        known = {gateway.name for gateway in self.gateway}
        for resource in self.resource:
            _check_names(resource.gateways, known, f"resource {resource.name}", "gateway")


class GatewayTables(_Table):
    """All tables of a Gateway's file."""

    client: tuple[ClientTable, ...] = ()
    resource: tuple[ResourceTable, ...] = ()

    def model_post_init(self, _context: object) -> None:
        """Check references and what must differ."""
        _check_peers(self.client)
        _check_resources(self.resource)
        known = {resource.name for resource in self.resource}
        for client in self.client:
            _check_names(client.resources, known, f"client {client.name}", "resource")


T = TypeVar("T", bound=_Table)


def read_client(path: Path) -> ClientTables:
    """Read the tables of a Client's file.

    Raises:
        ConfigError: Something in them is wrong; the message names the place.
    """
    return _read(path, ClientTables)


def read_gateway(path: Path) -> GatewayTables:
    """Read the tables of a Gateway's file; as `read_client`."""
    return _read(path, GatewayTables)


def _read(path: Path, kind: type[T]) -> T:
    """Read the tables of `kind`; everything else in the file are settings, which others check."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"{path} does not exist"
        raise ConfigError(message, hint="name another file with --config") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    tables = {name: content[name] for name in kind.model_fields if name in content}
    try:
        return kind(**tables)
    except ValidationError as error:
        raise _wrong(path, error, tables) from error


def _wrong(path: Path, error: ValidationError, tables: Mapping[str, Any]) -> ConfigError:
    first = error.errors(include_url=False, include_input=False)[0]
    *place, last = first["loc"] or ("the tables",)
    where = _place(place, tables)
    reason = str(first["msg"]).removeprefix("Value error, ")
    return ConfigError(f"{path}: {where}{last}: {reason}", setting=str(last), origin=str(path))


def _place(place: list[int | str], tables: Mapping[str, Any]) -> str:
    """Name a table by what its file calls it: `[[gateway]] office: `."""
    if not place:
        return ""
    table = str(place[0])
    if len(place) == 1 or not isinstance(place[1], int):
        return f"[[{table}]] "
    try:
        name = tables[table][place[1]]["name"]
    except (KeyError, IndexError, TypeError):
        name = f"number {place[1] + 1}"
    return f"[[{table}]] {name}: "


def _check_peers(peers: tuple[_Peer, ...]) -> None:
    _check_unique((peer.name for peer in peers), "name")
    _check_unique((peer.public_key for peer in peers), "public_key")
    _check_unique((str(address) for peer in peers for address in peer.tunnel), "tunnel address")


def _check_resources(resources: tuple[ResourceTable, ...]) -> None:
    _check_unique((resource.name for resource in resources), "name")
    _check_unique((str(resource.dns or resource.cidr) for resource in resources), "dns or cidr")


def _check_unique(values: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            message = f"two tables have the {what} {value}"
            raise ValueError(message)
        seen.add(value)


def _check_names(names: tuple[str, ...], known: set[str], who: str, kind: str) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            message = f"{who}: there is no {kind} {name}; {hint}"
            raise ValueError(message)
