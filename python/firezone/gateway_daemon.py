"""A Gateway on a host: its core, its network, its look-ups; and the one run from a file."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from . import socket_address
from .daemon import ended
from .endpoint_daemon import EndpointDaemon, checked
from .errors import FirezoneError
from .gateway import Gateway
from .host.linux import LinuxHost
from .host.own_addresses import own_addresses
from .host.plan import TUNNEL_NETWORKS, GatewayNetwork
from .kept_state import KeptState
from .places import PlacesFile
from .resolver import Resolver, read_hosts, read_nameservers
from .settings import GatewaySettings
from .standalone.gateway import FileGatewaySource
from .standalone.tables import read_gateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .host.plan import Network
    from .host.watch import Change
    from .logs import LogPipeline
    from .orchestration import Listener
    from .socket_address import SocketAddress
    from .standalone.tables import GatewayTables

__all__ = ["GatewayDaemon", "run_gateway"]


async def run_gateway(
    settings: GatewaySettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
) -> None:
    """Run a Gateway until it is ended.

    Args:
        settings: Its settings.
        file: Where its tables are, read again on SIGHUP.
        logs: Where events go.
        takes_over: Whether a Gateway that runs here is asked for everything it has.

    Raises:
        FirezoneError: It could not begin, or something that it cannot go on without is gone. The
            host is as it was before.
    """
    daemon = _GatewayDaemon(settings, file, logs, takes_over=takes_over)
    async with contextlib.AsyncExitStack() as stack:
        await daemon.run(stack)


class GatewayDaemon(EndpointDaemon[GatewaySettings]):
    """A Gateway, whoever says who may use it."""

    role = "gateway"

    def __init__(
        self, settings: GatewaySettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
    ) -> None:
        super().__init__(settings, file, logs, takes_over=takes_over)
        self._servers = _servers(settings)
        self._kept = KeptState(settings.state_dir / "gateway" / "nat.state", self._log)
        self._has_begun = False

    @abstractmethod
    def _status_line(self) -> str:
        """Return a line for systemd and for people."""

    @abstractmethod
    def _name_of(self, identity: str | None) -> str | None:
        """Return what people call a Client or a resource."""

    @abstractmethod
    def _listeners(self) -> Mapping[str, Listener]:
        """Return who is told of further events of the core."""

    @abstractmethod
    def _first_commands(self) -> list[dict[str, Any]]:
        """Return the commands that a core without any Client needs."""

    def _host_changed(self, change: Change) -> None:
        """Follow the host's network; peers of a file find the way by themselves."""

    async def _connect(self) -> None:
        """Begin what needs a running core."""

    async def run(self, stack: contextlib.AsyncExitStack) -> None:
        """Set everything up in the order in which it is undone backwards, and run until the end."""
        resolver = Resolver(self._servers, read_hosts(self._settings.hosts), log=self._log)
        role = self._of_the_role()
        journal = await self._take_journal(stack)
        if not await self._prepare(stack):
            return
        kept = self._kept.take(self.role)
        memory = self._heir.memory or kept
        self._host = LinuxHost(journal, log=self._log, takes_over=True)
        self._start_core(stack, role, memory)
        self._orchestration = Gateway(
            self._endpoint,
            resolver,
            self._log,
            flow_logs=self._settings.flow_logs,
            listeners={"tun_failed": self._tun_failed, **self._listeners()},
            name_of=self._name_of,
        )
        self._following = self._lifecycle.follow(self._orchestration.run())
        stack.push_async_callback(ended, self._following)
        await self._endpoint.send_all((self._dns_servers(), *self._first_commands()))
        await self._begin(memory)
        self._has_begun = True
        await self._connect()
        async with self._metrics_served():
            self._lifecycle.watch(self._host.watch(self._host_changed))
            await self._lifecycle.run(self._methods(), self._status_line)
        await self._leave()

    async def _stop_core(self) -> None:
        """End the core; unless a successor has it, what it knew of flows is kept for one."""
        if self._has_begun and not self._lifecycle.is_handed_over:
            with contextlib.suppress(FirezoneError):
                legacy, _ = await self._endpoint.hand_over(self.role, {})
                if legacy.memory is not None:
                    self._kept.write(legacy.memory)
                legacy.close()
        await super()._stop_core()

    def _of_the_role(self) -> dict[str, object]:
        settings = self._settings
        return {
            "cache_floor": settings.cache_floor,
            "failure_cache": settings.failure_cache,
            "own_addresses": own_addresses(),
            "allow_real": [str(network) for network in settings.allow_addresses],
        }

    async def _explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        rows = await self._orchestration.explain(params)
        for row in rows:
            row["client_name"] = self._name_of(row["client"])
            row["resource_name"] = self._name_of(row["resource"])
        return rows

    def _peer_name(self, peer: Mapping[str, Any]) -> str | None:
        return self._name_of(peer["client"])


class _GatewayDaemon(GatewayDaemon):
    """A Gateway whose file says who may use it."""

    _places: PlacesFile

    def __init__(
        self, settings: GatewaySettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
    ) -> None:
        super().__init__(settings, file, logs, takes_over=takes_over)
        self._source = FileGatewaySource(checked(file, read_gateway(file)))

    async def _prepare(self, _stack: contextlib.AsyncExitStack) -> bool:
        folder = self._settings.state_dir / "gateway"
        self._places = PlacesFile(folder / "places.json", self._log)
        self._places.keep({client.id for client in self._source.tables.client})
        return True

    def _name_of(self, identity: str | None) -> str | None:
        return self._source.name_of(identity)

    def _listeners(self) -> Mapping[str, Listener]:
        return {"peer": self._places.record}

    def _first_commands(self) -> list[dict[str, Any]]:
        return self._source.commands(self._places.places)

    def _network(self, tables: GatewayTables | None = None) -> GatewayNetwork:
        ipv4, ipv6 = self._addresses
        masquerade = self._settings.masquerade
        # Plain WireGuard peers have addresses that their administrators chose.
        tables = tables or self._source.tables
        clients = (ip_network(a) for c in tables.client for a in c.tunnel)
        elsewhere = {c for c in clients if not _is_tunnel(c)}
        return GatewayNetwork(
            self._settings.tun,
            ipv4,
            ipv6,
            masquerade=masquerade,
            client_networks=frozenset({*TUNNEL_NETWORKS, *elsewhere}),
        )

    async def _reload(self) -> None:
        tables = checked(self._file, read_gateway(self._file))
        # First: what the host refuses, the core never hears of.
        await asyncio.to_thread(self._host.change, self._network(tables))
        await self._endpoint.send_all(self._source.change(tables))
        self._log.info("file taken over", event_name="config.reloaded", file=str(self._file))

    def _status_line(self) -> str:
        tables = self._source.tables
        return f"{len(tables.client)} clients, {len(tables.resource)} resources"


def _is_tunnel(client: Network) -> bool:
    return any(client[0] in network for network in TUNNEL_NETWORKS)


def _servers(settings: GatewaySettings) -> list[SocketAddress]:
    if not settings.dns_servers:
        return read_nameservers(settings.resolv_conf)
    return [socket_address.parse(server, port=53) for server in settings.dns_servers]
