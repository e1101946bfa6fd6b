"""What a Client and a Gateway on a host have alike: key, core, network, and what they tell."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from . import keys
from .daemon import Lifecycle, undone
from .endpoint import Endpoint, check_pattern
from .errors import ConfigError, FirezoneError
from .host.plan import FWMARK
from .inheritance import Heir, hand_over, successor_of
from .settings import ClientSettings, GatewaySettings
from .standalone.identity import tunnel_addresses
from .standalone.tables import ClientTables, GatewayTables
from .standalone.wrong import wrong_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from .host.journal import Journal, Role
    from .host.linux import LinuxHost
    from .host.plan import Plan
    from .legacy import Memory
    from .logs import LogPipeline
    from .orchestration import Method, Orchestration
    from .socket_address import SocketAddress
    from .standalone.identity import Addresses

__all__ = ["EndpointDaemon", "checked"]

SettingsT = TypeVar("SettingsT", bound=ClientSettings | GatewaySettings)
TablesT = TypeVar("TablesT", ClientTables, GatewayTables)

PATIENCE: Final = 5.0
"""Seconds that the last events of a core may take."""


class EndpointDaemon(ABC, Generic[SettingsT]):
    """One role on a host. Its parts are there once its `run` has made them.

    Args:
        settings: Its settings.
        file: Where its tables are.
        logs: Where events go.
        takes_over: Whether a process of the role that runs here is asked for everything it has.
    """

    role: ClassVar[Role]
    _keeps_key: ClassVar[bool] = True
    """Whether the key is that of the former process; without it, its sessions are of no use."""
    _journal: Journal
    _following: asyncio.Task[None]
    _host: LinuxHost
    _endpoint: Endpoint
    _orchestration: Orchestration

    def __init__(
        self, settings: SettingsT, file: Path, logs: LogPipeline, *, takes_over: bool = False
    ) -> None:
        self._settings = settings
        self._takes_over = takes_over
        self._file = file
        self._logs = logs
        self._log = logs.logger
        self._key = self._private_key()
        self._public_key = keys.public_key(self._key)
        self._heir = Heir(self.role, settings, self._log)
        self._lifecycle = Lifecycle(self.role, settings, logs, self._reload)
        self._servers: Sequence[SocketAddress] = ()

    def _private_key(self) -> bytes:
        """Return the key by which peers know this endpoint."""
        return keys.read(self._settings.private_key_file)

    async def _prepare(self, _stack: contextlib.AsyncExitStack) -> bool:
        """Learn what has to be known before there is a core; False if that was ended."""
        return True

    @abstractmethod
    async def run(self, stack: contextlib.AsyncExitStack) -> None:
        """Set everything up in the order in which it is undone backwards, and run until the end."""

    @abstractmethod
    def _network(self) -> Plan:
        """Return what the host's network is to be."""

    @abstractmethod
    async def _reload(self) -> None:
        """Take over the changed file."""

    @abstractmethod
    def _peer_name(self, peer: Mapping[str, Any]) -> str | None:
        """Return what the file calls a row of `peers`."""

    @abstractmethod
    async def _explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Say what would become of a packet, with the names of the file."""

    async def _take_journal(self, stack: contextlib.AsyncExitStack) -> Journal:
        """Follow signals from now on, and be the only one of this role on the host.

        What a former process left is taken before: all that can fail by itself is done by then.
        """
        stack.enter_context(self._lifecycle.signals())
        stack.callback(self._heir.close)
        await self._heir.receive(asks=self._takes_over)
        self._journal = await self._heir.journal()
        stack.callback(self._journal.release)
        return self._journal

    def _start_core(
        self,
        stack: contextlib.AsyncExitStack,
        role: Mapping[str, object],
        memory: Memory | None,
    ) -> None:
        """Start the core, with what was left to it; packets wait until `_begin`."""
        stack.enter_context(
            undone(self._host.undo, self._logs, unless=lambda: self._lifecycle.is_handed_over)
        )
        config, left = self._config(role), list(self._heir.descriptors)
        # They are the core's, or closed.
        self._heir.descriptors.clear()
        try:
            self._endpoint = Endpoint(config, self._key, left, memory)
        except ValueError as error:
            self._log.warning(
                "what the former process left cannot be used; all begins anew",
                event_name="handover.refused",
                reason=str(error),
            )
            self._endpoint = Endpoint(config, self._key, memory=memory)
            left = []
        stack.push_async_callback(self._stop_core)
        self._is_inherited = bool(left)

    async def _stop_core(self) -> None:
        await self._endpoint.stop()

    async def _begin(self, memory: Memory | None) -> None:
        """Let the core take packets, with the host's network in its shape.

        What was left has it already, and flows do not wait for a second look.
        """
        if not self._is_inherited:
            self._host.apply(self._network())
        came = await self._endpoint.begin()
        self._heir.confirm()
        peers = self._endpoint.inherited
        for reason in (came, peers if self._keeps_key else None):
            if isinstance(reason, str):
                self._log.warning(
                    "a part of what was left is not used",
                    event_name="handover.part_refused",
                    reason=reason,
                )
        if self._is_inherited or isinstance(came, tuple):
            flows = came[0] if isinstance(came, tuple) else 0
            gap = None if memory is None else round(memory.age, 3)
            self._log.info(
                "goes on where the former process ended",
                event_name="handover.taken",
                peers=peers if isinstance(peers, int) else 0,
                flows=flows,
                seconds=gap,
            )
        if self._is_inherited:
            # Look-ups and questions of the core do not wait for it either.
            await asyncio.to_thread(self._host.apply, self._network())

    async def _leave(self) -> None:
        """Pass everything on, if there is a successor; else it is undone as the stack unwinds.

        Raises:
            FirezoneError: A successor that asked has gone.
        """
        successor = await successor_of(self._lifecycle, self._settings, self._log)
        if successor is None:
            return
        facts = await self._facts()
        legacy, why = await self._endpoint.hand_over(self.role, facts)
        if why is not None:
            self._log.warning(
                "peers will be greeted anew", event_name="handover.no_sessions", reason=why
            )
        # What the core told last is written to files before the successor reads them.
        await asyncio.wait({self._following}, timeout=PATIENCE)
        legacy.lock = self._journal.lock
        try:
            await hand_over(successor, legacy, self._log)
        except FirezoneError as error:
            if self._lifecycle.successor is not None:
                raise
            self._log.warning(
                "nothing was left to a successor",
                event_name="handover.failed",
                reason=str(error),
                hint=error.hint,
            )
            return
        self._lifecycle.is_handed_over = True
        self._journal.leave()

    async def _facts(self) -> dict[str, Any]:
        """Return what a successor of the role cannot learn elsewhere."""
        return {}

    @property
    def _addresses(self) -> Addresses:
        return self._settings.tunnel_addresses or tunnel_addresses(self._public_key)

    def _config(self, role: Mapping[str, object]) -> dict[str, object]:
        ipv4, ipv6 = self._addresses
        settings = self._settings
        return {
            "role": {self.role: role},
            "tun": settings.tun,
            "ipv4": str(ipv4),
            "ipv6": str(ipv6),
            "port": settings.port,
            "mark": FWMARK,
            "send_buffer": settings.udp_send_buffer_size,
            "receive_buffer": settings.udp_recv_buffer_size,
            "aead": settings.aead,
            "offloads": settings.offloads,
            "scheduling": settings.scheduling,
            "buffer": {
                "queue_bytes": settings.buffer_queue_size,
                "queue_packets": settings.buffer_queue_packets,
                "total_bytes": settings.buffer_total_size,
                "max_age": settings.buffer_max_age,
            },
        }

    def _dns_servers(self) -> dict[str, Any]:
        """Return the command that names the servers; one that the core cannot reach is told."""
        servers = []
        for server in self._servers:
            try:
                servers.append(str(server.numbered()))
            except ValueError as error:
                self._log.warning(
                    "a DNS server cannot be asked",
                    event_name="dns.unreachable",
                    server=str(server),
                    reason=str(error),
                )
        return {"type": "set_dns_servers", "servers": servers}

    def _tun_failed(self, event: Mapping[str, Any]) -> None:
        message = f"the TUN device {self._settings.tun} is gone: {event['error']}"
        hint = f"another program deleted it; start the {self.role.title()} again"
        self._lifecycle.end(FirezoneError(message, hint=hint))

    def _methods(self) -> dict[str, Method]:
        own: dict[str, Method] = {
            "status": self._status,
            "explain": self._explain,
            "metrics": self._metrics,
        }
        return {**self._orchestration.methods(), **own}

    # What a start does not need is imported when it is asked for: a successor has no time (R38).

    @contextlib.asynccontextmanager
    async def _metrics_served(self) -> AsyncIterator[None]:
        """Serve metrics meanwhile, if that is wanted."""
        address = self._settings.metrics
        if address is None:
            yield
            return
        from .metrics import served  # noqa: PLC0415

        async with served(address, self.role, self._state):
            yield

    async def _metrics(self, _params: dict[str, Any]) -> str:
        from .metrics import exposition  # noqa: PLC0415

        return exposition(self.role, await self._state())

    async def _state(self) -> dict[str, Any]:
        (counters,) = await self._orchestration.inspect("counters")
        io, peers = self._endpoint.counters(), await self._peers()
        return {"counters": counters, "io": io, "peers": peers}

    async def _peers(self) -> list[dict[str, Any]]:
        peers = await self._orchestration.inspect("peers")
        for peer in peers:
            peer["name"] = self._peer_name(peer)
        return peers

    async def _status(self, _params: dict[str, Any]) -> dict[str, Any]:
        ipv4, ipv6 = self._addresses
        peers = await self._peers()
        return {
            "public_key": self._public_key,
            "tun": self._settings.tun,
            "addresses": [str(ipv4), str(ipv6)],
            "port": self._endpoint.port,
            "aead": self._endpoint.aead,
            "dns_servers": [str(server) for server in self._servers],
            "peers": peers,
            "io": self._endpoint.counters(),
        }


def checked(file: Path, tables: TablesT) -> TablesT:
    """Return tables whose patterns the core can use.

    Raises:
        ConfigError: One cannot be; the message names file, table and field, like those of
            `standalone.tables`.
    """
    for resource in tables.resource:
        if resource.dns is None:
            continue
        try:
            check_pattern(resource.dns)
        except ConfigError as error:
            raise wrong_place(
                file, "resource", resource.name, "dns", str(error), hint=error.hint
            ) from error
    return tables
