"""The Client and the Gateway under test: their cores on TUN devices, and their orchestration."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from firezone._core import LabNetwork
from firezone.client import Client
from firezone.gateway import Gateway
from firezone.resolver import Resolver
from firezone.socket_address import SocketAddress
from firezone.thread_names import name_thread

from . import namespaces, topology

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from firezone.resolver import Family, LookupResult

    from .observation import Observation
    from .settings import LinkSettings
    from .topology import Laboratory

__all__ = ["CLIENT_ID", "RESOURCE", "Endpoints"]

CLIENT_ID: Final = "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c01"
BYSTANDER_ID: Final = "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c04"
GATEWAY_ID: Final = "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c02"
RESOURCE: Final[dict[str, object]] = {
    "id": "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c03",
    "name": "the site",
    "type": "dns",
    "address": "*.site.example",
}
# Addresses of the datagrams inside the process (RFC 5737): nothing is sent to them.
_CLIENT_WIRE: Final = ("192.0.2.1:51820", "192.0.2.3:51820")
_GATEWAY_WIRE: Final = "192.0.2.2:51820"
# Receiver indices: the lower 8 bits count sessions. The Gateway has one for each Client.
_CLIENT_INDEX: Final = 1 << 8
_GATEWAY_INDEX: Final = (2 << 8, 3 << 8)
_PATIENCE: Final = 5.0


class _Port:
    """The way to one station of a network."""

    def __init__(self, network: LabNetwork, station: int) -> None:
        self._network = network
        self._station = station
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def send(self, command: Mapping[str, object]) -> None:
        self._network.command(self._station, json.dumps(command))

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self._events.get()) is not None:
            yield event

    def put(self, event: dict[str, Any] | None) -> None:
        self._events.put_nowait(event)


class _SiteLookup:
    """A resolver on a thread of its own, whose sockets live in the Gateway's namespace."""

    def __init__(self, namespace: Path, servers: list[SocketAddress]) -> None:
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
        name_thread("fz-lookups")
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

    def __init__(self, client: int) -> None:
        self._client = client

    async def authorize(
        self, resource: str, connected: Sequence[str] = ()
    ) -> Mapping[str, object] | str:
        del resource, connected
        ipv4, ipv6 = topology.GATEWAY
        endpoint = _endpoint(_GATEWAY_WIRE, _CLIENT_INDEX, _GATEWAY_INDEX[self._client])
        return {"id": GATEWAY_ID, "ipv4": ipv4, "ipv6": ipv6, "endpoint": endpoint}


class Endpoints:
    """The running Clients of a laboratory and their Gateway.

    Args:
        lab: Whose namespaces hold the TUN devices.
        link: What joins each Client to the Gateway.
        halt: Use the former policy, for comparison (R41).
        observation: Where events go, and how the endpoints are reached.

    Attributes:
        clients: The orchestration of each Client; `client` is the first.
        socket: None: the Gateway is reached where any other is.
    """

    def __init__(
        self,
        lab: Laboratory,
        link: LinkSettings,
        *,
        halt: bool,
        observation: Observation,
    ) -> None:
        self._lab, self._observation = lab, observation
        self._controls = contextlib.AsyncExitStack()
        self.socket: Path | None = None
        self._network = LabNetwork(json.dumps(_network(lab, link, halt=halt)))
        self._lookups = _SiteLookup(lab.gateway.path, [SocketAddress(topology.RESOLVER, 53)])
        count = len(lab.clients)
        self._ports = [_Port(self._network, station) for station in range(count + 1)]
        self.clients = [
            Client(port, _Source(number), observation.logs("client").logger)
            for number, port in enumerate(self._ports[:count])
        ]
        self.client = self.clients[0]
        gateway_log = observation.logs("gateway").logger
        self.gateway = Gateway(self._ports[count], self._lookups, gateway_log)
        self._tasks: list[asyncio.Task[None]] = []
        self._sentinel: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> str:
        """Run the orchestration, and tell all ends of each other.

        Returns:
            The address at which the Clients answer DNS.
        """
        await asyncio.to_thread(self._lab.configure_tuns)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._network.wake_fd(), self._drain)
        runs = [*(client.run() for client in self.clients), self.gateway.run()]
        self._tasks = [loop.create_task(run) for run in runs]
        for number in range(len(self.clients)):
            self._introduce(number)
            self._describe(number)
        async with asyncio.timeout(_PATIENCE):
            sentinel = await self._sentinel
        await self._observation.serve(self, self._controls)
        return sentinel

    def restart_client(self, number: int) -> None:
        """Let a Client begin anew, as another process that knows nothing of the former one."""
        self._network.restart_client(number, run=2**32 + number, seed=number)
        self._describe(number)

    def _introduce(self, number: int) -> None:
        """Tell the Gateway of a Client."""
        ipv4, ipv6 = (topology.CLIENT, topology.BYSTANDER)[number]
        client = (CLIENT_ID, BYSTANDER_ID)[number]
        endpoint = _endpoint(_CLIENT_WIRE[number], _GATEWAY_INDEX[number], _CLIENT_INDEX)
        peer = {"id": client, "ipv4": ipv4, "ipv6": ipv6, "endpoint": endpoint}
        self.tell_gateway({"type": "add_client", "client": peer})
        self.tell_gateway({"type": "authorize", "client": client, "resource": RESOURCE})

    def _describe(self, number: int) -> None:
        """Tell a Client what it may reach."""
        port = self._ports[number]
        port.send({"type": "set_dns_servers", "servers": [f"{topology.RESOLVER}:53"]})
        port.send({"type": "set_resource", "resource": RESOURCE})

    def tell_gateway(self, command: Mapping[str, object]) -> None:
        """Give the Gateway one more command.

        Raises:
            ValueError: The core does not know it.
        """
        self._ports[-1].send(command)

    async def counters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return all counters of the Client and of the Gateway."""
        client, gateway = await asyncio.gather(
            self.client.inspect("counters"), self.gateway.inspect("counters")
        )
        return client[0], gateway[0]

    def link_drops(self) -> int:
        """Return how many datagrams with application packets the link lost or had no room for."""
        return sum(station["datagrams_dropped"] for station in self._network.counters())

    async def kernel_drops(self) -> tuple[int, int]:
        """Return how many packets the kernel did not take from the core; it has no sockets."""
        return sum(station["tun_refused"] for station in self._network.counters()), 0

    async def wire_report(self) -> tuple[int, int] | None:
        """Return None: nothing leaves the process."""
        return None

    async def stop(self) -> None:
        """End the data plane and the orchestration; the TUN devices go with it."""
        await self._controls.aclose()
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._network.wake_fd())
        await asyncio.to_thread(self._network.stop)
        for port in self._ports:
            port.put(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._lookups.close)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._network.wake_fd(), 64)
        for station, text in self._network.events():
            event = json.loads(text)
            if event["type"] == "sentinels_changed" and not self._sentinel.done():
                self._sentinel.set_result(next(a for a in event["sentinels"] if ":" not in a))
            if event["type"] == "stopped":
                for port in self._ports:
                    port.put(None)
            else:
                self._ports[station].put(event)


def _endpoint(address: str, local: int, remote: int) -> dict[str, object]:
    plain = {"session": "plain", "address": address}
    return {**plain, "local_index": local, "remote_index": remote}


def _network(lab: Laboratory, link: LinkSettings, *, halt: bool) -> dict[str, object]:
    def side(device: str, namespace: Path, addresses: tuple[str, str]) -> dict[str, object]:
        tun = {"name": device, "namespace": str(namespace)}
        return {"tun": tun, "ipv4": addresses[0], "ipv6": addresses[1]}

    gateway = side(topology.GATEWAY_TUN, lab.gateway.path, topology.GATEWAY)
    return {
        "seed": link.seed,
        "halt": halt,
        "clients": [
            {
                **side(topology.CLIENT_TUN, namespace.path, addresses),
                "endpoint": endpoint,
                "run": link.seed,
                "refresh_floor": 0.0,
            }
            for (namespace, addresses), endpoint in zip(lab.clients, _CLIENT_WIRE, strict=False)
        ],
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
