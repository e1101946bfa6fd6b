"""A Client on a host: its core, its network, its DNS, from one file."""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from . import keys
from .client import Client
from .daemon import Lifecycle, buffer_limits, ended, undone
from .endpoint import Endpoint, check_pattern
from .errors import FirezoneError, TunnelTimeout
from .host.dns.control import dns_control
from .host.dns.resolver_source import SystemResolvers
from .host.journal import Journal
from .host.linux import LinuxHost
from .host.plan import FWMARK, ClientNetwork
from .metrics import metrics_method, served
from .proxies import ProxyFile
from .standalone.client import FileClientSource
from .standalone.identity import tunnel_addresses
from .standalone.tables import ClientTables, read_client

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from pathlib import Path

    from .host.dns.control import DnsControl
    from .host.watch import Change
    from .logs import LogPipeline
    from .orchestration import Method
    from .settings import ClientSettings

__all__ = ["run_client"]

PATIENCE: Final = 5.0
"""Seconds until a new core has told its sentinels."""


async def run_client(settings: ClientSettings, file: Path, logs: LogPipeline) -> None:
    """Run a Client until it is ended.

    Args:
        settings: Its settings.
        file: Where its tables are, read again on SIGHUP.
        logs: Where events go.

    Raises:
        FirezoneError: It could not begin, or something that it cannot go on without is gone. The
            host is as it was before.
    """
    daemon = _ClientDaemon(settings, file, logs)
    async with contextlib.AsyncExitStack() as stack:
        await daemon.run(stack)


class _ClientDaemon:
    def __init__(self, settings: ClientSettings, file: Path, logs: LogPipeline) -> None:
        self._settings = settings
        self._file = file
        self._logs = logs
        self._log = logs.logger
        self._key = keys.read(settings.private_key_file)
        self._public_key = keys.public_key(self._key)
        self._source = FileClientSource(_checked(read_client(file)), self._log)
        self._sentinels: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._lifecycle = Lifecycle("client", settings, logs, self._reload)
        self._servers: tuple[str, ...] = ()

    async def run(self, stack: contextlib.AsyncExitStack) -> None:
        """Set everything up in the order in which it is undone backwards."""
        stack.enter_context(self._lifecycle.signals())
        journal = Journal.open("client", folder=self._settings.run_dir)
        stack.callback(journal.release)
        self._host = LinuxHost(journal, log=self._log)
        dns: DnsControl = dns_control(self._settings.dns_control, journal, log=self._log)
        resolvers = SystemResolvers(
            self._settings.dns_control, dns, tun=self._settings.tun, log=self._log
        )
        # Before programs are made to ask us: afterwards the file is ours.
        self._servers = self._settings.dns_servers or resolvers.read()
        proxies = ProxyFile(self._settings.state_dir / "client" / "proxies.jsonl", self._log)
        stack.callback(proxies.close)
        stack.enter_context(undone(self._host.undo, self._logs))
        self._endpoint = Endpoint(self._config(), self._key)
        stack.push_async_callback(self._endpoint.stop)
        self._host.apply(self._network())
        self._client = self._orchestrate(proxies)
        stack.push_async_callback(ended, self._lifecycle.follow(self._client.run()))
        for command in (proxies.command(), self._dns_servers(), *self._source.commands()):
            self._endpoint.send(command)
        for command in await self._source.first_authorizations():
            self._endpoint.send(command)
        sentinels = await self._first_sentinels()
        stack.enter_context(undone(dns.revert, self._logs))
        dns.apply(tun=self._settings.tun, sentinels=sentinels)
        await stack.enter_async_context(served(self._settings.metrics, "client", self._state))
        self._lifecycle.watch(self._host.watch(self._host_changed))
        if not self._settings.dns_servers:
            self._lifecycle.watch(resolvers.watch(self._servers_changed))
        await self._lifecycle.run(self._methods(), self._status_line)

    async def _first_sentinels(self) -> list[IPv4Address | IPv6Address]:
        try:
            async with asyncio.timeout(PATIENCE):
                return [ip_address(text) for text in await self._sentinels]
        except TimeoutError as error:
            message = f"the core did not say within {PATIENCE:g} s at which address it answers DNS"
            hint = "the host may be overloaded; start the Client again"
            raise TunnelTimeout(message, hint=hint) from error

    def _config(self) -> dict[str, object]:
        ipv4, ipv6 = self._settings.tunnel_addresses or tunnel_addresses(self._public_key)
        settings = self._settings
        role = {
            "refresh_floor": settings.refresh_floor,
            "proxy_ipv4": str(settings.proxy_ipv4),
            "proxy_ipv6": str(settings.proxy_ipv6),
        }
        return {
            "role": {"client": role},
            "tun": settings.tun,
            "ipv4": str(ipv4),
            "ipv6": str(ipv6),
            "port": settings.port,
            "mark": FWMARK,
            "send_buffer": settings.udp_send_buffer_size,
            "receive_buffer": settings.udp_recv_buffer_size,
            "buffer": buffer_limits(settings),
        }

    def _network(self) -> ClientNetwork:
        ipv4, ipv6 = self._settings.tunnel_addresses or tunnel_addresses(self._public_key)
        routes = (table.cidr for table in self._source.tables.resource)
        return ClientNetwork(
            self._settings.tun, ipv4, ipv6, routes=frozenset(n for n in routes if n is not None)
        )

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
            },
        )

    def _dns_servers(self) -> dict[str, Any]:
        return {"type": "set_dns_servers", "servers": [_with_port(s) for s in self._servers]}

    def _sentinels_changed(self, event: dict[str, Any]) -> None:
        if not self._sentinels.done():
            self._sentinels.set_result(event["sentinels"])

    def _peer_changed(self, event: dict[str, Any]) -> None:
        if event["state"] == "connected":
            self._source.gateway_answered(event["gateway"])
        else:
            self._source.gateway_failed(event["gateway"])

    def _tun_failed(self, event: dict[str, Any]) -> None:
        message = f"the TUN device {self._settings.tun} is gone: {event['error']}"
        hint = "another program deleted it; start the Client again"
        self._lifecycle.end(FirezoneError(message, hint=hint))

    def _host_changed(self, change: Change) -> None:
        if change.kinds & {"links", "default-route"}:
            self._endpoint.send({"type": "network_changed"})

    def _servers_changed(self, servers: tuple[str, ...]) -> None:
        self._servers = servers
        self._log.info("the host's DNS servers changed", event_name="dns.servers", servers=servers)
        self._endpoint.send(self._dns_servers())

    async def _reload(self) -> None:
        tables = _checked(read_client(self._file))
        for command in await self._source.change(tables):
            self._endpoint.send(command)
        await asyncio.to_thread(self._host.apply, self._network())
        self._log.info("file taken over", event_name="config.reloaded", file=str(self._file))

    def _methods(self) -> dict[str, Method]:
        own: dict[str, Method] = {
            "status": self._status,
            "explain": self._explain,
            "metrics": metrics_method("client", self._state),
        }
        return {**self._client.methods(), **own}

    async def _explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        rows = await self._client.explain(params)
        for row in rows:
            if row.get("gateway") is not None:
                row["gateway_name"] = self._source.gateway_name(row["gateway"])
        return rows

    async def _state(self) -> dict[str, Any]:
        (counters,) = await self._client.inspect("counters")
        io, peers = self._endpoint.counters(), await self._peers()
        return {"counters": counters, "io": io, "peers": peers}

    async def _peers(self) -> list[dict[str, Any]]:
        peers = await self._client.inspect("peers")
        for peer in peers:
            peer["name"] = self._source.gateway_name(peer["gateway"])
        return peers

    async def _status(self, _params: dict[str, Any]) -> dict[str, Any]:
        ipv4, ipv6 = self._settings.tunnel_addresses or tunnel_addresses(self._public_key)
        peers = await self._peers()
        tables = self._source.tables
        return {
            "public_key": self._public_key,
            "tun": self._settings.tun,
            "addresses": [str(ipv4), str(ipv6)],
            "port": self._endpoint.port,
            "dns_control": self._settings.dns_control,
            "dns_servers": list(self._servers),
            "sentinels": self._sentinels.result(),
            "gateways": [gateway.name for gateway in tables.gateway],
            "resources": [_described(table) for table in tables.resource],
            "peers": peers,
            "io": self._endpoint.counters(),
        }

    def _status_line(self) -> str:
        tables = self._source.tables
        return f"{len(tables.resource)} resources, {len(tables.gateway)} gateways"


def _described(table: Any) -> dict[str, Any]:
    address = table.dns or str(table.cidr)
    return {"name": table.name, "address": address, "ports": list(table.ports)}


def _checked(tables: ClientTables) -> ClientTables:
    for resource in tables.resource:
        if resource.dns is not None:
            check_pattern(resource.dns)
    return tables


def _with_port(server: str) -> str:
    if server.startswith("["):
        return server
    if server.count(":") > 1:
        return f"[{server}]:53"
    return server if ":" in server else f"{server}:53"
