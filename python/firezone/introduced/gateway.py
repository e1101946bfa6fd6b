"""A Gateway on a host whose portal says who may use it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from firezone.gateway_daemon import GatewayDaemon
from firezone.host.plan import GatewayNetwork
from firezone.settings import GatewaySettings
from firezone.signaling.messages import GatewayInit

from .daemon import IntroducedDaemon
from .gateway_source import PortalGatewaySource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from firezone.host.watch import Change
    from firezone.logs import LogPipeline
    from firezone.orchestration import Listener
    from firezone.signaling.messages import Message

__all__ = ["run_gateway"]


async def run_gateway(
    settings: GatewaySettings, file: Path, logs: LogPipeline, *, takes_over: bool = False
) -> None:
    """Run a Gateway until it is ended.

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
    daemon = _Gateway(settings, file, logs, takes_over=takes_over)
    async with contextlib.AsyncExitStack() as stack:
        await daemon.run(stack)


class _Gateway(IntroducedDaemon[GatewaySettings], GatewayDaemon):
    _init_kind = GatewayInit

    def _take_first(self, init: Message) -> None:
        self._source = PortalGatewaySource(self._log)
        self._commands = self._source.take(init)

    def _network(self) -> GatewayNetwork:
        ipv4, ipv6 = self._addresses
        masquerade = self._settings.masquerade
        return GatewayNetwork(self._settings.tun, ipv4, ipv6, masquerade=masquerade)

    def _name_of(self, identity: str | None) -> str | None:
        return self._source.name_of(identity)

    def _listeners(self) -> Mapping[str, Listener]:
        return {
            "authorization_created": self._told,
            "local_candidates": self._told,
        }

    def _told(self, event: dict[str, Any]) -> None:
        self._tell(self._source.told(event))

    def _first_commands(self) -> list[dict[str, Any]]:
        return self._commands

    async def _connect(self) -> None:
        self._lifecycle.watch(self._link.follow(self._take))

    async def _take(self, message: Message) -> None:
        await self._send_all(self._source.take(message))
        if isinstance(message, GatewayInit):
            self._check_addresses(message.interface)

    def _host_changed(self, change: Change) -> None:
        if change.kinds & {"links", "default-route"}:
            self._endpoint.send({"type": "network_changed"})

    def _status_line(self) -> str:
        return f"portal {self._link.status()['address']}"
