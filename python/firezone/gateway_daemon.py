"""A Gateway on a host: its core, its network, its look-ups, from one file."""

from __future__ import annotations

import asyncio
import contextlib
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from . import keys
from .daemon import Lifecycle, buffer_limits, ended, undone
from .endpoint import Endpoint, check_pattern
from .errors import FirezoneError
from .gateway import Gateway
from .host.journal import Journal
from .host.linux import LinuxHost
from .host.netlink import Netlink
from .host.plan import FWMARK, TUNNEL_NETWORKS, GatewayNetwork
from .metrics import metrics_method, served
from .places import PlacesFile
from .resolver import Resolver, Server, read_hosts, read_nameservers
from .standalone.gateway import FileGatewaySource
from .standalone.identity import tunnel_addresses
from .standalone.tables import GatewayTables, read_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from .host.plan import Network
    from .logs import LogPipeline
    from .orchestration import Method
    from .settings import GatewaySettings

__all__ = ["run_gateway"]


async def run_gateway(settings: GatewaySettings, file: Path, logs: LogPipeline) -> None:
    """Run a Gateway until it is ended.

    Args:
        settings: Its settings.
        file: Where its tables are, read again on SIGHUP.
        logs: Where events go.

    Raises:
        FirezoneError: It could not begin, or something that it cannot go on without is gone. The
            host is as it was before.
    """
    daemon = _GatewayDaemon(settings, file, logs)
    async with contextlib.AsyncExitStack() as stack:
        await daemon.run(stack)


class _GatewayDaemon:
    def __init__(self, settings: GatewaySettings, file: Path, logs: LogPipeline) -> None:
        self._settings = settings
        self._file = file
        self._logs = logs
        self._log = logs.logger
        self._key = keys.read(settings.private_key_file)
        self._public_key = keys.public_key(self._key)
        self._source = FileGatewaySource(_checked(read_gateway(file)))
        self._lifecycle = Lifecycle("gateway", settings, logs, self._reload)
        self._servers = _servers(settings)

    async def run(self, stack: contextlib.AsyncExitStack) -> None:
        """Set everything up in the order in which it is undone backwards."""
        stack.enter_context(self._lifecycle.signals())
        journal = Journal.open("gateway", folder=self._settings.run_dir)
        stack.callback(journal.release)
        places = PlacesFile(self._settings.state_dir / "gateway" / "places.json", self._log)
        places.keep({client.id for client in self._source.tables.client})
        self._host = LinuxHost(journal, log=self._log, takes_over=True)
        stack.enter_context(undone(self._host.undo, self._logs))
        self._endpoint = Endpoint(self._config(), self._key)
        stack.push_async_callback(self._endpoint.stop)
        self._host.apply(self._network())
        self._gateway = Gateway(
            self._endpoint,
            Resolver(self._servers, read_hosts(self._settings.hosts), log=self._log),
            self._log,
            flow_logs=self._settings.flow_logs,
            listeners={"tun_failed": self._tun_failed, "peer": places.record},
            name_of=self._source.name_of,
        )
        stack.push_async_callback(ended, self._lifecycle.follow(self._gateway.run()))
        for command in (self._dns_servers(), *self._source.commands(places.places)):
            self._endpoint.send(command)
        await stack.enter_async_context(served(self._settings.metrics, "gateway", self._state))
        self._lifecycle.watch(self._host.watch(lambda _change: None))
        await self._lifecycle.run(self._methods(), self._status_line)

    @property
    def _addresses(self) -> tuple[Any, Any]:
        return self._settings.tunnel_addresses or tunnel_addresses(self._public_key)

    def _config(self) -> dict[str, object]:
        ipv4, ipv6 = self._addresses
        settings = self._settings
        role = {
            "cache_floor": settings.cache_floor,
            "failure_cache": settings.failure_cache,
            "own_addresses": _own_addresses(),
            "allow_real": [str(network) for network in settings.allow_addresses],
        }
        return {
            "role": {"gateway": role},
            "tun": settings.tun,
            "ipv4": str(ipv4),
            "ipv6": str(ipv6),
            "port": settings.port,
            "mark": FWMARK,
            "send_buffer": settings.udp_send_buffer_size,
            "receive_buffer": settings.udp_recv_buffer_size,
            "buffer": buffer_limits(settings),
        }

    def _network(self) -> GatewayNetwork:
        ipv4, ipv6 = self._addresses
        masquerade = self._settings.masquerade
        # Plain WireGuard peers have addresses that their administrators chose.
        clients = (ip_network(a) for c in self._source.tables.client for a in c.tunnel)
        elsewhere = {c for c in clients if not _is_tunnel(c)}
        return GatewayNetwork(
            self._settings.tun,
            ipv4,
            ipv6,
            masquerade=masquerade,
            client_networks=frozenset({*TUNNEL_NETWORKS, *elsewhere}),
        )

    def _dns_servers(self) -> dict[str, Any]:
        servers = [_text(server) for server in self._servers]
        return {"type": "set_dns_servers", "servers": servers}

    def _tun_failed(self, event: dict[str, Any]) -> None:
        message = f"the TUN device {self._settings.tun} is gone: {event['error']}"
        hint = "another program deleted it; start the Gateway again"
        self._lifecycle.end(FirezoneError(message, hint=hint))

    async def _reload(self) -> None:
        tables = _checked(read_gateway(self._file))
        for command in self._source.change(tables):
            self._endpoint.send(command)
        await asyncio.to_thread(self._host.apply, self._network())
        self._log.info("file taken over", event_name="config.reloaded", file=str(self._file))

    def _methods(self) -> dict[str, Method]:
        own: dict[str, Method] = {
            "status": self._status,
            "explain": self._explain,
            "metrics": metrics_method("gateway", self._state),
        }
        return {**self._gateway.methods(), **own}

    async def _explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        rows = await self._gateway.explain(params)
        for row in rows:
            row["client_name"] = self._source.name_of(row["client"])
            row["resource_name"] = self._source.name_of(row["resource"])
        return rows

    async def _state(self) -> dict[str, Any]:
        (counters,) = await self._gateway.inspect("counters")
        io, peers = self._endpoint.counters(), await self._peers()
        return {"counters": counters, "io": io, "peers": peers}

    async def _peers(self) -> list[dict[str, Any]]:
        peers = await self._gateway.inspect("peers")
        for peer in peers:
            peer["name"] = self._source.name_of(peer["client"])
        return peers

    async def _status(self, _params: dict[str, Any]) -> dict[str, Any]:
        ipv4, ipv6 = self._addresses
        peers = await self._peers()
        return {
            "public_key": self._public_key,
            "tun": self._settings.tun,
            "addresses": [str(ipv4), str(ipv6)],
            "port": self._endpoint.port,
            "dns_servers": [_text(server) for server in self._servers],
            "peers": peers,
            "io": self._endpoint.counters(),
        }

    def _status_line(self) -> str:
        tables = self._source.tables
        return f"{len(tables.client)} clients, {len(tables.resource)} resources"


def _is_tunnel(client: Network) -> bool:
    return any(client[0] in network for network in TUNNEL_NETWORKS)


def _checked(tables: GatewayTables) -> GatewayTables:
    for resource in tables.resource:
        if resource.dns is not None:
            check_pattern(resource.dns)
    return tables


def _servers(settings: GatewaySettings) -> list[Server]:
    if not settings.dns_servers:
        return read_nameservers(settings.resolv_conf)
    return [_server(text) for text in settings.dns_servers]


def _server(text: str) -> Server:
    if text.startswith("["):
        address, _, port = text[1:].partition("]:")
        return Server(address, int(port))
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return Server(address, int(port))
    return Server(text)


def _text(server: Server) -> str:
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"{host}:{server.port}"


def _own_addresses() -> list[str]:
    """Return the addresses of this host: names may not lead to them (R18)."""
    with Netlink() as netlink:
        links = netlink.links().values()
        return sorted({str(address.ip) for link in links for address in netlink.addresses(link)})
