"""A Client on a host whose portal says what it may reach."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from firezone.client_daemon import ClientDaemon
from firezone.errors import FirezoneError
from firezone.host.plan import ClientNetwork
from firezone.settings import ClientSettings
from firezone.signaling.messages import ClientInit, ConfigChanged

from .client_source import PortalClientSource
from .daemon import IntroducedDaemon

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from firezone.host.watch import Change
    from firezone.logs import LogPipeline
    from firezone.orchestration import Listener
    from firezone.signaling.messages import Interface, Message

__all__ = ["run_client"]


async def run_client(
    settings: ClientSettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
) -> None:
    """Run a Client until it is ended.

    Args:
        settings: Its settings; `api_url` is one.
        file: Where they were read; it has no tables.
        logs: Where events go.
        takes_over: Refused: see `IntroducedDaemon`.

    Raises:
        AuthError: The portal does not take the token, or not any more.
        FirezoneError: It could not begin, or something that it cannot go on without is gone. The
            host is as it was before.
    """
    daemon = _Client(settings, file, logs, takes_over=takes_over)
    async with contextlib.AsyncExitStack() as stack:
        await daemon.run(stack)


class _Client(IntroducedDaemon[ClientSettings], ClientDaemon):
    _init_kind = ClientInit
    _interface: Interface
    _source: PortalClientSource

    def _take_first(self, init: Message) -> None:
        internet = self._settings.activate_internet_resource
        self._source = PortalClientSource(self._link.send, self._log, activates_internet=internet)
        self._first_commands = self._source.take(init)
        self._warn_of_doh()

    def _network(self) -> ClientNetwork:
        ipv4, ipv6 = self._addresses
        return ClientNetwork(
            self._settings.tun,
            ipv4,
            ipv6,
            routes=self._source.routes,
            internet_resource=self._source.has_internet,
        )

    async def _connect(self) -> None:
        await self._send_all(self._first_commands)
        self._lifecycle.watch(self._link.follow(self._take, self._source.lost))

    async def _take(self, message: Message) -> None:
        before = (self._source.routes, self._source.has_internet)
        commands = self._source.take(message)
        if (self._source.routes, self._source.has_internet) != before:
            await self._change_network()
        await self._send_all(commands)
        if isinstance(message, ClientInit | ConfigChanged):
            self._check_addresses(message.interface)
            await self._use_interface(message.interface)

    async def _change_network(self) -> None:
        try:
            await asyncio.to_thread(self._host.change, self._network())
        except FirezoneError as error:
            # Other resources are not to wait for it; the watch tries again.
            self._log.error(
                "the host does not take the portal's networks",
                event_name="host.refused",
                reason=str(error),
                hint=error.hint,
            )

    async def _use_interface(self, interface: Interface) -> None:
        former, self._interface = self._interface, interface
        self._use_servers()
        if interface.upstream_doh != former.upstream_doh:
            self._warn_of_doh()
        if interface.search_domain == former.search_domain or not self._sentinels.done():
            return
        await asyncio.to_thread(
            self._dns.apply,
            tun=self._settings.tun,
            sentinels=self._sentinel_addresses(),
            search_domains=self._search_domains(),
        )

    def _named_servers(self) -> Sequence[str]:
        named = [str(server.ip) for server in self._interface.upstream_do53]
        # Older portals write a port, which means nothing.
        older = [_host(server.address) for server in self._interface.upstream_dns]
        return self._settings.dns_servers or named or older

    def _search_domains(self) -> Sequence[str]:
        domain = self._interface.search_domain
        return () if domain is None else (domain,)

    def _warn_of_doh(self) -> None:
        if self._interface.upstream_doh and not self._named_servers():
            self._log.warning(
                "DNS over HTTPS is not built; other names go to the system's servers",
                event_name="dns.doh",
            )

    def _listeners(self) -> Mapping[str, Listener]:
        return {"local_candidates": lambda event: self._tell(self._source.told(event))}

    def _host_changed(self, change: Change) -> None:
        super()._host_changed(change)
        if change.kinds & {"links", "default-route"}:
            # The former way to the portal may be gone, which heartbeats notice after 40 s.
            self._link.reconnect()

    def _resources(self) -> list[dict[str, Any]]:
        return self._source.status()

    async def _explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        rows = await super()._explain(params)
        for row in rows:
            why = self._source.why(row)
            if why is None and row.get("access") != "authorized":
                problem = self._link.problem
                why = None if problem is None else f"the portal is not reached: {problem}"
            if why is not None:
                row["why"] = why
        return rows

    async def _status(self, params: dict[str, Any]) -> dict[str, Any]:
        withdrawn = self._source.refusals.list_withdrawn()
        return {**await super()._status(params), "withdrawn": withdrawn}


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
