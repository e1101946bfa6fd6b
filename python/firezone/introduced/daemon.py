"""What a Client and a Gateway of a portal do alike: a key for this process, and the link."""

from __future__ import annotations

import asyncio
import tomllib
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from firezone import keys
from firezone.config import TABLES
from firezone.endpoint_daemon import EndpointDaemon
from firezone.errors import ConfigError, FirezoneError
from firezone.notify import notify
from firezone.settings import ClientSettings, GatewaySettings

from .link import Link

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from firezone.host.plan import Network
    from firezone.logs import LogPipeline
    from firezone.signaling.messages import ClientInit, GatewayInit, GatewayInterface, Message
    from firezone.standalone.identity import Addresses

__all__ = ["IntroducedDaemon"]

EXTENSION: Final = 60_000_000
"""Microseconds: twice what the portal's first word may take, and the rest of the start."""

SettingsT = TypeVar("SettingsT", bound=ClientSettings | GatewaySettings)


class IntroducedDaemon(EndpointDaemon[SettingsT]):
    """A role whose peers a portal introduces.

    Its key lives as long as this process, so that nobody can go on in its place.
    """

    _keeps_key = False
    _init_kind: ClassVar[type[ClientInit | GatewayInit]]
    _interface: GatewayInterface
    _link: Link

    def __init__(
        self, settings: SettingsT, file: Path, logs: LogPipeline, *, takes_over: bool = False
    ) -> None:
        if takes_over:
            text = "nobody can take over where a portal introduces peers: keys end with a process"
            raise ConfigError(text, hint="end the one that runs, and start another")
        _refuse_tables(file)
        super().__init__(settings, file, logs)
        self._lifecycle.stands_alone = True

    def _private_key(self) -> bytes:
        return keys.new()

    async def _prepare(self, stack: contextlib.AsyncExitStack) -> bool:
        """Wait until the portal has said what this endpoint is; False if that was ended."""
        settings = self._settings
        self._link = Link(self.role, settings, self._public_key, self._logs, _proxies(settings))
        self._link.begin()
        # A unit's patience is for the start alone; the portal may take its own.
        notify(f"EXTEND_TIMEOUT_USEC={EXTENSION}", "STATUS=asking the portal")
        stack.push_async_callback(self._link.close)
        first = asyncio.ensure_future(self._link.first(self._init_kind))
        ending = asyncio.ensure_future(self._lifecycle.until_end())
        await asyncio.wait({first, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not first.done():
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            return False
        init = first.result()
        self._interface = init.interface  # type: ignore[attr-defined]
        self._take_first(init)
        return True

    @abstractmethod
    def _take_first(self, init: Message) -> None:
        """Take over the portal's first word; there is no core yet."""

    async def _leave(self) -> None:
        """Undo everything: no successor has this key."""

    async def _reload(self) -> None:
        """Speak with the portal anew: it says everything again."""
        self._link.reconnect()

    @property
    def _addresses(self) -> Addresses:
        return self._interface.ipv4, self._interface.ipv6

    def _check_addresses(self, interface: GatewayInterface) -> None:
        """End if the portal gave other addresses: they are those of the TUN device."""
        if (interface.ipv4, interface.ipv6) != self._addresses:
            message = "the portal gave this device other tunnel addresses"
            hint = f"start the {self.role.title()} again"
            self._lifecycle.end(FirezoneError(message, hint=hint))

    async def _send_all(self, commands: Iterable[dict[str, Any]]) -> None:
        """Tell the core; what it does not take ends nothing else."""
        for command in commands:
            try:
                await self._endpoint.send_all([command])
            except ValueError as error:
                self._log.warning(
                    "the core did not take a command",
                    event_name="core.refused",
                    command=command["type"],
                    reason=str(error),
                )

    def _tell(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._link.send(message)

    async def _status(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**await super()._status(params), "portal": self._link.status()}


def _proxies(settings: ClientSettings | GatewaySettings) -> Sequence[Network]:
    """Return where proxy addresses of this host come from."""
    if isinstance(settings, ClientSettings):
        return settings.proxy_ipv4, settings.proxy_ipv6
    return ()


def _refuse_tables(file: Path) -> None:
    """Refuse a file that says who may reach what although a portal does."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Settings were read of it, or it is not there.
        return
    for name in sorted(frozenset().union(*TABLES.values()) & content.keys()):
        text = f"{file}: [[{name}]] does not count where a portal says who may reach what"
        raise ConfigError(text, setting="api_url", hint="remove the tables, or api_url")
