"""The tables of a standalone file, read and checked.

A Client's file has `[[gateway]]` and `[[resource]]`, a Gateway's has `[[client]]` and
`[[resource]]`; what else stands in the file are settings.
"""

from __future__ import annotations

import stat
import tomllib
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from firezone.errors import ConfigError

from . import values
from .identity import Addresses, peer_id, resource_id, tunnel_addresses
from .wrong import nearest, wrong_place, wrong_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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


class _Table(BaseModel):
    # Errors may not show what was given: it may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ResourceTable(_Table):
    """`[[resource]]`: names, a network or the internet, and the ports that may be used.

    Args:
        name: What people call it, and what other tables refer to it by.
        dns: A pattern of names, like `*.corp.example`.
        cidr: A network or one address.
        internet: Whether it is everything that is at no site.
        ports: Like `tcp/443`, `tcp/8000-8100`, `udp`, `icmp`; none lets everything pass.
        ip_stack: Which addresses a name gets.
        gateways: On a Client: names of the Gateways that serve it, the most wanted first; none
            means all.
    """

    name: values.Text
    dns: values.Text | None = None
    cidr: values.Network | None = None
    internet: values.Flag = False
    ports: values.Ports = ()
    ip_stack: Literal["dual", "ipv4_only", "ipv6_only"] = "dual"
    gateways: values.Texts = ()

    def model_post_init(self, _context: object) -> None:
        """Check what one field alone cannot tell."""
        if [self.dns is not None, self.cidr is not None, self.internet].count(True) != 1:
            message = "a resource has either dns, or cidr, or internet = true"
            raise ValueError(message)

    @property
    def id(self) -> str:
        """Its id, the same on both sides."""
        if self.internet:
            return resource_id("internet", "")
        return resource_id("dns" if self.dns is not None else "cidr", str(self.dns or self.cidr))

    @property
    def covers(self) -> str:
        """What it is, for people: its pattern, its network, or the internet."""
        return "the internet" if self.internet else str(self.dns or self.cidr)

    def command(self) -> dict[str, object]:
        """Return the core's `Resource`."""
        target: dict[str, object] = {"type": "internet"}
        if self.dns is not None:
            target = {"type": "dns", "address": self.dns, "ip_stack": self.ip_stack}
        elif self.cidr is not None:
            target = {"type": "cidr", "address": str(self.cidr)}
        filters = [values.filter_of(port) for port in self.ports]
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

    name: values.Text
    public_key: values.Key
    preshared_key: values.Secret | None = None
    addresses: values.Addresses | None = None
    persistent_keepalive: values.Keepalive | None = None
    plain: values.Flag = False

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

    endpoint: values.Endpoint


class ClientTable(_Peer):
    """`[[client]]` of a Gateway.

    Args:
        resources: Names of what it may use.
        until: When its access ends, in UTC if no offset is written; none means never.
        endpoint: Its address and port, if it has a fixed place; else it speaks first.
    """

    resources: values.Texts = ()
    until: values.Until | None = None
    endpoint: values.FixedEndpoint | None = None


class ClientTables(_Table):
    """All tables of a Client's file."""

    gateway: tuple[GatewayTable, ...] = ()
    resource: tuple[ResourceTable, ...] = ()

    @property
    def has_internet(self) -> bool:
        """Whether one of the resources is the internet."""
        return any(resource.internet for resource in self.resource)

    def without_internet(self) -> ClientTables:
        """Return the same without the Internet resource, for a Client that does not want it."""
        resources = tuple(each for each in self.resource if not each.internet)
        return self.model_copy(update={"resource": resources})


class GatewayTables(_Table):
    """All tables of a Gateway's file."""

    client: tuple[ClientTable, ...] = ()
    resource: tuple[ResourceTable, ...] = ()


T = TypeVar("T", bound=_Table)


def read_client(path: Path) -> ClientTables:
    """Read the tables of a Client's file.

    Raises:
        ConfigError: Something in them is wrong; the message names file, table and field.
    """
    tables = _read(path, ClientTables, {"gateway": GatewayTable, "resource": ResourceTable})
    _check_peers(path, "gateway", tables.gateway)
    _check_resources(path, tables.resource)
    _check_known(path, "resource", tables.resource, "gateways", tables.gateway)
    plain = {gateway.name for gateway in tables.gateway if gateway.plain}
    for resource in tables.resource:
        if resource.cidr is not None and resource.cidr.prefixlen == 0:
            # A host's own networks and this tunnel's datagrams would have no way past it.
            hint = "internet = true is everything, and leaves attached networks reachable"
            raise wrong_place(
                path, "resource", resource.name, "cidr", "that is everything", hint=hint
            )
        wanted = plain.intersection(resource.gateways)
        if resource.dns is not None and wanted:
            reason = f"{min(wanted)} is a plain WireGuard peer, which serves networks, not names"
            raise wrong_place(path, "resource", resource.name, "gateways", reason)
    return tables


def read_gateway(path: Path) -> GatewayTables:
    """Read the tables of a Gateway's file; as `read_client`."""
    tables = _read(path, GatewayTables, {"client": ClientTable, "resource": ResourceTable})
    _check_peers(path, "client", tables.client)
    _check_resources(path, tables.resource)
    _check_known(path, "client", tables.client, "resources", tables.resource)
    for resource in tables.resource:
        if resource.gateways:
            reason = "a Gateway's file says who may use it in [[client]], not through whom"
            raise wrong_place(path, "resource", resource.name, "gateways", reason)
    return tables


def _read(path: Path, kind: type[T], models: dict[str, type[Any]]) -> T:
    """Read the tables of `kind`; everything else in the file are settings, which others check."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        message = f"{path} does not exist"
        raise ConfigError(message, hint="name another file with --config") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", origin=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", origin=str(path)) from error
    tables = {name: content[name] for name in kind.model_fields if name in content}
    try:
        checked = kind(**tables)
    except ValidationError as error:
        raise wrong_table(path, error, tables, models) from None
    if mode & 0o077:
        _check_no_secret(path, tables)
    return checked


def _check_no_secret(path: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    for table, rows in tables.items():
        for row in rows:
            if "preshared_key" in row:
                reason = "others can read this file, and so the key"
                hint = f"chmod 600 {path}"
                raise wrong_place(path, table, row["name"], "preshared_key", reason, hint=hint)


def _check_peers(path: Path, table: str, peers: Sequence[GatewayTable | ClientTable]) -> None:
    _check_unique(path, table, peers, "name", lambda peer: peer.name)
    _check_unique(path, table, peers, "public_key", lambda peer: peer.public_key)
    _check_unique(path, table, peers, "addresses", lambda peer: str(peer.tunnel[0]))
    _check_unique(path, table, peers, "addresses", lambda peer: str(peer.tunnel[1]))


def _check_resources(path: Path, resources: Sequence[ResourceTable]) -> None:
    _check_unique(path, "resource", resources, "name", lambda resource: resource.name)
    _check_unique(path, "resource", resources, "dns", lambda r: r.dns and r.dns.lower())
    _check_unique(path, "resource", resources, "cidr", lambda r: r.cidr and str(r.cidr))
    _check_unique(
        path, "resource", resources, "internet", lambda r: r.covers if r.internet else None
    )


def _check_unique(
    path: Path, table: str, rows: Sequence[Any], field: str, of: Callable[[Any], str | None]
) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        value = of(row)
        if value is None:
            continue
        if value in seen:
            other = "another one" if field == "name" else seen[value]
            reason = f"{value} is already that of {other}"
            raise wrong_place(path, table, row.name, field, reason)
        seen[value] = row.name


def _check_known(
    path: Path, table: str, rows: Sequence[Any], field: str, others: Sequence[Any]
) -> None:
    """Check that what a field names has a table."""
    known = {other.name: other for other in others}
    for row in rows:
        for name in getattr(row, field):
            if name not in known:
                reason = f"there is no [[{field.removesuffix('s')}]] {name}"
                raise wrong_place(path, table, row.name, field, reason, hint=nearest(name, known))
