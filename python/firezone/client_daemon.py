"""A Client on a host: its core, its network, its DNS; and the one that is run from a file."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol

from . import socket_address
from .client import Client, ClientSource
from .daemon import ended, undone
from .endpoint_daemon import EndpointDaemon, checked
from .errors import FirezoneError, TunnelTimeout
from .host.dns.control import dns_control, revert_others
from .host.dns.resolver_source import SystemResolvers
from .host.linux import LinuxHost
from .host.plan import ClientNetwork
from .proxies import ProxyFile
from .settings import ClientSettings
from .standalone.client import FileClientSource
from .standalone.tables import read_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from pathlib import Path

    from .host.dns.control import DnsControl
    from .host.watch import Change
    from .logs import LogPipeline
    from .orchestration import Listener
    from .socket_address import SocketAddress
    from .standalone.tables import ClientTables

__all__ = ["ClientDaemon", "Source", "run_client"]

PATIENCE: Final = 5.0
"""Seconds for first look-ups, and until a new core has told its sentinels; units wait for 15."""


async def run_client(
    settings: ClientSettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
) -> None:
    """Run a Client until it is ended.

    Args:
        settings: Its settings.
        file: Where its tables are, read again on SIGHUP.
        logs: Where events go.
        takes_over: Whether a Client that runs here is asked for everything it has.

    Raises:
        FirezoneError: It could not begin, or something that it cannot go on without is gone. The
            host is as it was before.
    """
    daemon = _ClientDaemon(settings, file, logs, takes_over=takes_over)
    async with contextlib.AsyncExitStack() as stack:
        await daemon.run(stack)


class Source(ClientSource, Protocol):
    """Who tells a Client on a host all that it has to know."""

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands that a core without any resource needs."""
        ...

    def facts(self, addresses: Mapping[str, str | None]) -> dict[str, Any]:
        """Return what a successor goes on with, given where Gateways are reached."""
        ...

    def resume(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the commands that let a core go on with what a former process left."""
        ...

    def first_authorizations(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the commands that connect a core to Gateways before anybody asks."""
        ...

    def gateway_failed(self, gateway: str) -> None:
        """Note that a Gateway (its id) does not answer."""
        ...

    def gateway_answered(self, gateway: str) -> None:
        """Note that a Gateway answers."""
        ...

    def name_of(self, identity: str | None) -> str | None:
        """Return what people call a Gateway or a resource."""
        ...


class ClientDaemon(EndpointDaemon[ClientSettings]):
    """A Client, whoever says what it may reach."""

    role = "client"
    _source: Source
    _dns: DnsControl

    def __init__(
        self, settings: ClientSettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
    ) -> None:
        super().__init__(settings, file, logs, takes_over=takes_over)
        self._sentinels: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._system_servers: tuple[str, ...] = ()

    async def run(self, stack: contextlib.AsyncExitStack) -> None:
        """Set everything up in the order in which it is undone backwards, and run until the end."""
        journal = await self._take_journal(stack)
        if not await self._prepare(stack):
            return
        facts = self._heir.facts
        self._host = LinuxHost(journal, log=self._log, takes_over=bool(self._heir.descriptors))
        method = self._settings.dns_control
        self._dns = dns = dns_control(method, journal, log=self._log)
        resolvers = SystemResolvers(method, dns, tun=self._settings.tun, log=self._log)
        # Before programs are made to ask us: afterwards the file is ours.
        known = facts.get("dns_servers")
        if not self._settings.dns_servers:
            self._system_servers = tuple(known or resolvers.read())
        self._servers = _parsed(self._named_servers() or self._system_servers)
        proxies = ProxyFile(self._settings.state_dir / "client" / "proxies.jsonl", self._log)
        stack.callback(proxies.close)
        self._start_core(stack, self._of_the_role(), self._heir.memory)
        self._orchestration = self._orchestrate(proxies)
        self._following = self._lifecycle.follow(self._orchestration.run())
        stack.push_async_callback(ended, self._following)
        resumed = self._source.resume(facts)
        await self._endpoint.send_all(
            (proxies.command(), self._dns_servers(), *self._source.commands(), *resumed)
        )
        await self._begin(self._heir.memory)
        await self._connect()
        sentinels = await self._first_sentinels()
        stack.enter_context(
            undone(dns.revert, self._logs, unless=lambda: self._lifecycle.is_handed_over)
        )
        revert_others(method, journal, log=self._log)
        domains = self._search_domains()
        dns.apply(tun=self._settings.tun, sentinels=sentinels, search_domains=domains)
        async with self._metrics_served():
            self._lifecycle.watch(self._host.watch(self._host_changed))
            if not self._settings.dns_servers:
                # Who cannot be asked is told of by the watch.
                with contextlib.suppress(FirezoneError):
                    self._servers_found(resolvers.read())
                self._lifecycle.watch(resolvers.watch(self._servers_changed))
            await self._lifecycle.run(self._methods(), self._status_line)
        await self._leave()

    async def _facts(self) -> dict[str, Any]:
        peers = await self._orchestration.inspect("peers")
        addresses = {peer["gateway"]: peer["address"] for peer in peers}
        servers = [] if self._settings.dns_servers else [str(server) for server in self._servers]
        return {"dns_servers": servers, **self._source.facts(addresses)}

    async def _connect(self) -> None:
        """Connect to Gateways before anybody asks, as far as their names are found by now."""
        try:
            async with asyncio.timeout(PATIENCE):
                async for command in self._source.first_authorizations():
                    await self._endpoint.send_all([command])
        except TimeoutError:
            # At boot there may be no network yet; systemd does not wait for that.
            self._log.warning(
                "Gateways could not all be looked up; they are when they are needed",
                event_name="gateway.later",
                seconds=PATIENCE,
            )

    async def _first_sentinels(self) -> list[IPv4Address | IPv6Address]:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._sentinels
                return self._sentinel_addresses()
        except TimeoutError as error:
            message = f"the core did not say within {PATIENCE:g} s at which address it answers DNS"
            hint = "the host may be overloaded; start the Client again"
            raise TunnelTimeout(message, hint=hint) from error

    def _sentinel_addresses(self) -> list[IPv4Address | IPv6Address]:
        return [ip_address(text) for text in self._sentinels.result()]

    def _of_the_role(self) -> dict[str, object]:
        settings = self._settings
        return {
            "refresh_floor": settings.refresh_floor,
            "proxy_ipv4": str(settings.proxy_ipv4),
            "proxy_ipv6": str(settings.proxy_ipv6),
        }

    @abstractmethod
    def _resources(self) -> list[dict[str, Any]]:
        """Return what `status` tells of each resource."""

    def _named_servers(self) -> Sequence[str]:
        """Return the servers that somebody has chosen; without any those of the system count."""
        return self._settings.dns_servers

    def _search_domains(self) -> Sequence[str]:
        """Return the suffixes that programs of this host try."""
        return ()

    def _listeners(self) -> Mapping[str, Listener]:
        """Return who is told of further events of the core."""
        return {}

    def _orchestrate(self, proxies: ProxyFile) -> Client:
        return Client(
            self._endpoint,
            self._source,
            self._log,
            {
                "proxies_assigned": proxies.record,
                "sentinels_changed": self._sentinels_changed,
                "gateway_dead": lambda event: self._source.gateway_failed(event["gateway"]),
                "gateway_alive": lambda event: self._source.gateway_answered(event["gateway"]),
                "peer": self._peer_changed,
                "tun_failed": self._tun_failed,
                **self._listeners(),
            },
            self._source.name_of,
        )

    def _sentinels_changed(self, event: dict[str, Any]) -> None:
        if not self._sentinels.done():
            self._sentinels.set_result(event["sentinels"])

    def _peer_changed(self, event: dict[str, Any]) -> None:
        if event["state"] == "connected":
            self._source.gateway_answered(event["gateway"])
        else:
            self._source.gateway_failed(event["gateway"])

    def _host_changed(self, change: Change) -> None:
        if change.kinds & {"links", "default-route"}:
            self._endpoint.send({"type": "network_changed"})

    def _servers_found(self, servers: tuple[str, ...]) -> None:
        """Follow what changed while nobody looked; none at all may be our own doing."""
        if servers and _parsed(servers) != _parsed(self._system_servers):
            self._servers_changed(servers)

    def _servers_changed(self, servers: tuple[str, ...]) -> None:
        self._system_servers = servers
        self._log.info("the host's DNS servers changed", event_name="dns.servers", servers=servers)
        self._use_servers()

    def _use_servers(self) -> None:
        """Let the core ask the servers of now."""
        servers = _parsed(self._named_servers() or self._system_servers)
        if servers != self._servers:
            self._servers = servers
            self._endpoint.send(self._dns_servers())

    async def _explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        rows = await self._orchestration.explain(params)
        for row in rows:
            if row.get("gateway") is not None:
                row["gateway_name"] = self._source.name_of(row["gateway"])
        return rows

    def _peer_name(self, peer: Mapping[str, Any]) -> str | None:
        return self._source.name_of(peer["gateway"])

    async def _status(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            **await super()._status(params),
            "dns_control": self._settings.dns_control,
            "sentinels": self._sentinels.result(),
            "resources": self._resources(),
        }

    def _status_line(self) -> str:
        return f"{len(self._resources())} resources"


class _ClientDaemon(ClientDaemon):
    """A Client whose file says what it may reach."""

    _source: FileClientSource

    def __init__(
        self, settings: ClientSettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
    ) -> None:
        super().__init__(settings, file, logs, takes_over=takes_over)
        self._source = FileClientSource(self._tables(), self._log)

    def _network(self, tables: ClientTables | None = None) -> ClientNetwork:
        ipv4, ipv6 = self._addresses
        tables = tables or self._source.tables
        routes = (table.cidr for table in tables.resource)
        return ClientNetwork(
            self._settings.tun,
            ipv4,
            ipv6,
            routes=frozenset(n for n in routes if n is not None),
            internet_resource=tables.has_internet,
        )

    def _tables(self) -> ClientTables:
        """Read the file; its Internet resource counts only where it was activated."""
        tables = checked(self._file, read_client(self._file))
        if self._settings.activate_internet_resource:
            return tables
        if tables.has_internet:
            self._log.info(
                "the Internet resource is not active",
                event_name="internet.inactive",
                hint="activate_internet_resource = true sends everything else through it",
            )
        return tables.without_internet()

    async def _reload(self) -> None:
        tables = self._tables()
        # First: what the host refuses, the core never hears of.
        await asyncio.to_thread(self._host.change, self._network(tables))
        await self._endpoint.send_all(await self._source.change(tables))
        self._log.info("file taken over", event_name="config.reloaded", file=str(self._file))

    def _resources(self) -> list[dict[str, Any]]:
        return [_described(table) for table in self._source.tables.resource]

    async def _status(self, params: dict[str, Any]) -> dict[str, Any]:
        gateways = [gateway.name for gateway in self._source.tables.gateway]
        return {**await super()._status(params), "gateways": gateways}

    def _status_line(self) -> str:
        tables = self._source.tables
        return f"{len(tables.resource)} resources, {len(tables.gateway)} gateways"


def _described(table: Any) -> dict[str, Any]:
    return {"name": table.name, "address": table.covers, "ports": list(table.ports)}


def _parsed(servers: Iterable[str]) -> list[SocketAddress]:
    return [socket_address.parse(server, port=53) for server in servers]
