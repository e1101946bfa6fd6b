"""The Client and the Gateway under test: a core pair on two TUN devices, and its orchestration."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from firezone._core import LabPair
from firezone.client import Client
from firezone.gateway import Gateway
from firezone.resolver import Resolver, Server

from . import namespaces, topology

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from firezone.resolver import Family, LookupResult

    from .settings import LinkSettings
    from .topology import Laboratory

__all__ = ["CLIENT_ID", "RESOURCE", "Endpoints"]

CLIENT_ID: Final = "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c01"
GATEWAY_ID: Final = "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c02"
RESOURCE: Final[dict[str, object]] = {
    "id": "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c03",
    "name": "the site",
    "type": "dns",
    "address": "*.site.example",
}
# Addresses of the datagrams inside the process (RFC 5737): nothing is sent to them.
_CLIENT_WIRE: Final = "192.0.2.1:51820"
_GATEWAY_WIRE: Final = "192.0.2.2:51820"
_CLIENT_INDEX: Final = 1
_GATEWAY_INDEX: Final = 2
_PATIENCE: Final = 5.0
_STATIONS: Final = {"client": 0, "gateway": 1}


class _Port:
    """The way to one station of a pair."""

    def __init__(self, pair: LabPair, station: int) -> None:
        self._pair = pair
        self._station = station
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def send(self, command: Mapping[str, object]) -> None:
        self._pair.command(self._station, json.dumps(command))

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self._events.get()) is not None:
            yield event

    def put(self, event: dict[str, Any] | None) -> None:
        self._events.put_nowait(event)


class _SiteLookup:
    """A resolver on a thread of its own, whose sockets live in the Gateway's namespace."""

    def __init__(self, namespace: Path, servers: list[Server]) -> None:
        self._namespace = namespace
        self._resolver = Resolver(servers)
        self._ready: concurrent.futures.Future[asyncio.AbstractEventLoop]
        self._ready = concurrent.futures.Future()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fz-lookups", daemon=True)
        self._thread.start()
        self._loop = self._ready.result()

    async def lookup(self, name: str, family: Family) -> LookupResult:
        asked = self._resolver.lookup(name, family)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            namespaces.enter(self._namespace)
        except OSError as error:
            self._ready.set_exception(error)
            return
        # Look-ups under way are cancelled at the end.
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._ready.set_result(asyncio.get_running_loop())
        await self._ending.wait()


class _Source:
    """Authorises everything at once."""

    async def authorize(self, _resource: str) -> Mapping[str, object] | str:
        ipv4, ipv6 = topology.GATEWAY
        endpoint = _endpoint(_GATEWAY_WIRE, _CLIENT_INDEX, _GATEWAY_INDEX)
        return {"id": GATEWAY_ID, "ipv4": ipv4, "ipv6": ipv6, "endpoint": endpoint}


class Endpoints:
    """A running Client and Gateway.

    Args:
        lab: Whose namespaces hold the TUN devices.
        link: What joins the two.
        halt: Use the former policy, for comparison (R41).
        client_log: Where the Client's events go.
        gateway_log: Where the Gateway's events go.
    """

    def __init__(
        self,
        lab: Laboratory,
        link: LinkSettings,
        *,
        halt: bool,
        client_log: FilteringBoundLogger,
        gateway_log: FilteringBoundLogger,
    ) -> None:
        self._pair = LabPair(json.dumps(_pair(lab, link, halt=halt)))
        self._lookups = _SiteLookup(lab.gateway.path, [Server(topology.RESOLVER)])
        self._ports = [_Port(self._pair, station) for station in _STATIONS.values()]
        self.client = Client(self._ports[0], _Source(), client_log)
        self.gateway = Gateway(self._ports[1], self._lookups, gateway_log)
        self._tasks: list[asyncio.Task[None]] = []
        self._sentinel: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> str:
        """Run the orchestration, and tell both ends of each other.

        Returns:
            The address at which the Client answers DNS.
        """
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pair.wake_fd(), self._drain)
        self._tasks = [loop.create_task(role.run()) for role in (self.client, self.gateway)]
        client, gateway = self._ports
        ipv4, ipv6 = topology.CLIENT
        endpoint = _endpoint(_CLIENT_WIRE, _GATEWAY_INDEX, _CLIENT_INDEX)
        peer = {"id": CLIENT_ID, "ipv4": ipv4, "ipv6": ipv6, "endpoint": endpoint}
        gateway.send({"type": "add_client", "client": peer})
        gateway.send({"type": "authorize", "client": CLIENT_ID, "resource": RESOURCE})
        client.send({"type": "set_dns_servers", "servers": [f"{topology.RESOLVER}:53"]})
        client.send({"type": "set_resource", "resource": RESOURCE})
        async with asyncio.timeout(_PATIENCE):
            return await self._sentinel

    def tell_gateway(self, command: Mapping[str, object]) -> None:
        """Give the Gateway one more command.

        Raises:
            ValueError: The core does not know it.
        """
        self._ports[1].send(command)

    async def counters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return all counters of the Client and of the Gateway."""
        client, gateway = await asyncio.gather(
            self.client.inspect("counters"), self.gateway.inspect("counters")
        )
        return client[0], gateway[0]

    def link_drops(self) -> int:
        """Return how many datagrams with application packets the link lost or had no room for."""
        return sum(dropped for _, _, _, dropped in self._pair.counters())

    def tun_refusals(self) -> int:
        """Return how many packets the kernel did not take from the core."""
        return sum(refused for _, _, refused, _ in self._pair.counters())

    async def stop(self) -> None:
        """End the data plane and the orchestration; the TUN devices go with it."""
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._pair.wake_fd())
        await asyncio.to_thread(self._pair.stop)
        for port in self._ports:
            port.put(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._lookups.close)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._pair.wake_fd(), 64)
        for station, text in self._pair.events():
            event = json.loads(text)
            if event["type"] == "sentinels_changed" and not self._sentinel.done():
                self._sentinel.set_result(next(a for a in event["sentinels"] if ":" not in a))
            if event["type"] == "stopped":
                for port in self._ports:
                    port.put(None)
            else:
                self._ports[station].put(event)


def _endpoint(address: str, local: int, remote: int) -> dict[str, object]:
    return {"address": address, "local_index": local, "remote_index": remote}


def _pair(lab: Laboratory, link: LinkSettings, *, halt: bool) -> dict[str, object]:
    def side(device: str, namespace: Path, addresses: tuple[str, str]) -> dict[str, object]:
        tun = {"name": device, "namespace": str(namespace)}
        return {"tun": tun, "ipv4": addresses[0], "ipv6": addresses[1]}

    client = side(topology.CLIENT_TUN, lab.app.path, topology.CLIENT)
    gateway = side(topology.GATEWAY_TUN, lab.gateway.path, topology.GATEWAY)
    return {
        "seed": link.seed,
        "halt": halt,
        "client": {**client, "endpoint": _CLIENT_WIRE, "run": link.seed, "refresh_floor": 0.0},
        "gateway": {
            **gateway,
            "endpoint": _GATEWAY_WIRE,
            "cache_floor": 0.0,
            "failure_cache": 0.0,
            "own_addresses": [*topology.GATEWAY_SITE, *topology.GATEWAY],
        },
        "dns_namespace": str(lab.gateway.path),
        "up": link.impairments(),
        "down": link.impairments(),
    }
