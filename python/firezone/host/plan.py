"""What a role wants of its host, as data; building it touches nothing.

    ClientNetwork, GatewayNetwork  ->  Wanted: addresses, routes, rules of the kernel

Routes and rules are those of Firezone: a table for what is tunnelled, one with copies of the routes
to attached networks, one for everything else, each asked by every packet that has not our mark.
The second and third exist only while all traffic is tunnelled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_network,
)
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FIXED_NETWORKS",
    "FWMARK",
    "MTU",
    "SENTINEL_NETWORKS",
    "TUNNEL_NETWORKS",
    "ClientNetwork",
    "Family",
    "GatewayNetwork",
    "Interface",
    "Network",
    "Plan",
    "Route",
    "Rule",
    "Table",
    "Wanted",
    "attached_copies",
]

Network: TypeAlias = IPv4Network | IPv6Network
Family: TypeAlias = Literal[4, 6]
Address4: TypeAlias = IPv4Address | IPv4Interface
Address6: TypeAlias = IPv6Address | IPv6Interface
Interface: TypeAlias = IPv4Interface | IPv6Interface

FWMARK: Final = 0xFD002021
"""The mark of every socket of ours, which keeps what it sends out of the tunnel."""
MTU: Final = 1280
"""What every IPv6 path carries, so that no path needs to be asked."""

TUNNEL_NETWORKS: Final = (IPv4Network("100.64.0.0/11"), IPv6Network("fd00:2021:1111::/107"))
"""Addresses of Clients and Gateways."""
PROXY_NETWORKS: Final = (IPv4Network("100.96.0.0/11"), IPv6Network("fd00:2021:1111:8000::/107"))
"""Proxy addresses of DNS resources."""
SENTINEL_NETWORKS: Final = (
    IPv4Network("100.100.111.0/24"),
    IPv6Network("fd00:2021:1111:8000:100:100:111:0/120"),
)
"""Addresses at which the Client answers DNS."""
FIXED_NETWORKS: Final = (*TUNNEL_NETWORKS, *PROXY_NETWORKS, *SENTINEL_NETWORKS)
"""What every Client routes into its TUN device."""


class Table:
    """The routing tables; each number is reserved for Firezone by use alone."""

    TUNNELLED: Final = 0x2021FD00
    ATTACHED: Final = 0x2021FD01
    EVERYTHING: Final = 0x2021FD02
    PRIORITY: Final = {TUNNELLED: 100, ATTACHED: 200, EVERYTHING: 300}


SCOPE_UNIVERSE: Final = 0
SCOPE_LINK: Final = 253
_IPV6_METRIC: Final = 1024
"""What the kernel gives an IPv6 route without a metric."""
_SHORTEST_ATTACHED: Final = {4: 8, 6: 16}
"""An attached network that is wider is a trick to draw traffic away, or another tunnel."""
_NEVER_COPIED: Final = (IPv6Network("fe80::/10"), IPv6Network("ff00::/8"))


@dataclass(frozen=True, order=True)
class Route:
    """A route of a table of ours.

    Args:
        table: Its number.
        destination: The network, as text.
        device: The interface's name.
        scope: The kernel's number of its scope.
        source: The address that packets are sent from, if the route says so.
        metric: Lower is preferred; 0 is none.
    """

    table: int
    destination: str
    device: str
    scope: int = SCOPE_UNIVERSE
    source: str | None = None
    metric: int = 0

    @property
    def family(self) -> Family:
        """Its address family."""
        return 6 if ":" in self.destination else 4


@dataclass(frozen=True, order=True)
class Rule:
    """`not fwmark MARK lookup TABLE`, of the protocol `kernel`: network daemons leave it alone."""

    family: Family
    priority: int
    table: int
    fwmark: int


@dataclass(frozen=True)
class Wanted:
    """What the kernel should hold: all of it, and of ours nothing else."""

    addresses: frozenset[Interface]
    routes: frozenset[Route]
    rules: frozenset[Rule]


@dataclass(frozen=True)
class _Network:
    """What both roles say of their TUN device."""

    tun: str
    ipv4: Address4 | None
    ipv6: Address6 | None
    mtu: int = field(default=MTU, kw_only=True)
    fwmark: int = field(default=FWMARK, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what the kernel would refuse, and what would cut the host off."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}", self.tun):
            raise ConfigError(
                f"{self.tun!r} is no name for a network interface",
                setting="tun",
                hint="1 to 15 letters, digits, '.', '_' or '-'",
            )
        if self.ipv4 is None and self.ipv6 is None:
            raise ConfigError("the TUN device has no address", hint="give it an IPv4 address")
        if not 576 <= self.mtu <= 65535 or (self.ipv6 is not None and self.mtu < MTU):  # noqa: PLR2004
            raise ConfigError(
                f"an MTU of {self.mtu} bytes cannot work",
                setting="mtu",
                hint="at least 1280, which IPv6 asks for; Firezone's is 1280",
            )
        if not 0 < self.fwmark < 2**32:
            raise ConfigError(
                f"{self.fwmark:#x} is no mark: with it, our own packets would enter the tunnel",
                setting="fwmark",
                hint="1 to 0xffffffff; Firezone's is 0xfd002021",
            )

    def _addresses(self, families: frozenset[Family]) -> frozenset[Interface]:
        """Return the addresses with their host prefix; a wider prefix makes routes of its own."""
        given = [a for a in (self.ipv4, self.ipv6) if a is not None and a.version in families]
        return frozenset(
            IPv4Interface(f"{_bare(a)}/32") if a.version == 4 else IPv6Interface(f"{_bare(a)}/128")  # noqa: PLR2004
            for a in given
        )

    def _routes(
        self, networks: Iterable[Network], table: int, families: frozenset[Family]
    ) -> set[Route]:
        return {
            Route(table, str(n), self.tun, metric=_IPV6_METRIC if n.version == 6 else 0)  # noqa: PLR2004
            for n in networks
            if n.version in self._used(families)
        }

    def _used(self, families: frozenset[Family]) -> frozenset[Family]:
        """Return the families that the device has an address of."""
        return frozenset(a.version for a in self._addresses(families))

    def _rules(self, tables: Iterable[int], families: frozenset[Family]) -> frozenset[Rule]:
        return frozenset(
            Rule(family, Table.PRIORITY[table], table, self.fwmark)
            for table in tables
            for family in self._used(families)
        )


@dataclass(frozen=True)
class ClientNetwork(_Network):
    """What a Client wants of its host.

    Args:
        tun: The TUN device; it exists already.
        ipv4: The Client's tunnel address, if it has one.
        ipv6: The same.
        routes: Networks of its CIDR resources. Those that every Client has are added.
        internet_resource: Whether everything else goes into the tunnel as well; attached networks
            and our own packets do not.
        mtu: Bytes of the largest packet.
        fwmark: The mark of our own sockets.
        socket_buffers: Whether the kernel's limits on them are raised.
    """

    routes: frozenset[Network] = frozenset()
    internet_resource: bool = False
    socket_buffers: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what would cut the host off."""
        super().__post_init__()
        for network in self.routes:
            if network.prefixlen == 0:
                raise ConfigError(
                    f"{network} is no network of a resource: it is everything",
                    setting="routes",
                    hint="internet = true is everything, and leaves attached networks reachable",
                )

    def wanted(
        self, families: frozenset[Family], attached: frozenset[Route] = frozenset()
    ) -> Wanted:
        """Return what the kernel should hold.

        Args:
            families: Those that the host has.
            attached: Copies of the routes to attached networks: `attached_copies`.
        """
        routes = self._routes({*FIXED_NETWORKS, *self.routes}, Table.TUNNELLED, families)
        tables = [Table.TUNNELLED]
        if self.internet_resource:
            everything = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
            routes |= self._routes(everything, Table.EVERYTHING, families) | attached
            tables += [Table.ATTACHED, Table.EVERYTHING]
        rules = self._rules(tables, families)
        return Wanted(self._addresses(families), frozenset(routes), rules)


@dataclass(frozen=True)
class GatewayNetwork(_Network):
    """What a Gateway wants of its host.

    Args:
        tun: The TUN device; it exists already.
        ipv4: The Gateway's tunnel address, if it has one.
        ipv6: The same.
        masquerade: Whether what Clients send leaves with an address of the host. Without it the
            site must route the Clients' addresses back to this host.
        client_networks: The Clients' addresses.
        mtu: Bytes of the largest packet.
        fwmark: The mark of our own sockets.
        socket_buffers: Whether the kernel's limits on them are raised.
    """

    masquerade: bool = True
    client_networks: frozenset[Network] = frozenset(TUNNEL_NETWORKS)
    socket_buffers: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what would cut the host off."""
        super().__post_init__()
        for network in self.client_networks:
            if network.prefixlen == 0:
                raise ConfigError(
                    f"{network} cannot be the network of the Clients: it is everything",
                    setting="client_networks",
                )

    def wanted(
        self, families: frozenset[Family], attached: frozenset[Route] = frozenset()
    ) -> Wanted:
        """Return what the kernel should hold; `attached` is not used."""
        del attached
        routes = self._routes(self.client_networks, Table.TUNNELLED, families)
        rules = self._rules([Table.TUNNELLED], families)
        return Wanted(self._addresses(families), frozenset(routes), rules)


Plan: TypeAlias = ClientNetwork | GatewayNetwork


def attached_copies(routes: Iterable[Route], running: frozenset[str], tun: str) -> frozenset[Route]:
    """Return copies of routes to attached networks for the table between the two of the tunnel.

    Args:
        routes: The main table's routes without a next router.
        running: Interfaces that are operational.
        tun: Our device, which is never one of them.
    """
    copies = set()
    for route in routes:
        network = ip_network(route.destination)
        if route.device == tun or route.device not in running:
            continue
        if network.prefixlen < _SHORTEST_ATTACHED[network.version]:
            continue
        if network.version == 6 and any(network.subnet_of(never) for never in _NEVER_COPIED):  # noqa: PLR2004
            continue
        metric = route.metric
        copies.add(
            Route(
                Table.ATTACHED, route.destination, route.device, route.scope, route.source, metric
            )
        )
    return frozenset(copies)


def _bare(address: Address4 | Address6) -> IPv4Address | IPv6Address:
    return address.ip if isinstance(address, IPv4Interface | IPv6Interface) else address
