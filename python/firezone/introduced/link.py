"""The way between a role and its portal: messages in order, and what is known of the connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from firezone.errors import PortalUnreachable
from firezone.host.plan import FWMARK
from firezone.signaling import token
from firezone.signaling.address import Device, PortalAddress
from firezone.signaling.channel import Joined, Passed, Received
from firezone.signaling.connection import Offline, PortalConnection
from firezone.signaling.dial import addresses
from firezone.signaling.identity import device_id, external_id
from firezone.signaling.messages import SetSnownetCapabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firezone.host.journal import Role
    from firezone.host.plan import Network
    from firezone.logs import LogPipeline
    from firezone.settings import EndpointSettings
    from firezone.signaling.connection import Happening
    from firezone.signaling.dial import Info, Lookup
    from firezone.signaling.messages import Message

__all__ = ["Link", "OutsideNames"]

PATIENCE: Final = 30.0
"""Seconds from the start to the portal's first word of what this endpoint is."""


class Link:
    """A role's connection to its portal.

    Args:
        role: Whose.
        settings: Where the portal is, and who we are.
        public_key: Of this process, base64.
        logs: Where events go; the token is made known to it as a secret.
        proxies: Where proxy addresses come from: the portal has none of these.

    Raises:
        AuthError: There is no token.
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        role: Role,
        settings: EndpointSettings,
        public_key: str,
        logs: LogPipeline,
        proxies: Sequence[Network] = (),
    ) -> None:
        self._log = logs.logger
        if settings.token is None:
            secret = token.find(settings.token_file)
        else:
            secret = token.parse(settings.token.get_secret_value(), "the setting token")
        logs.register_secret(secret.get_secret_value())
        self._portal = PortalAddress.parse(str(settings.api_url))
        own_id = settings.id or device_id(settings.state_dir / role / "device_id")
        device = Device(role, settings.name or socket.gethostname(), external_id(own_id))
        self._connection = PortalConnection(
            self._portal,
            device,
            secret,
            public_key=public_key,
            authority=settings.portal_ca,
            prepare=_outside_of_the_tunnel,
            lookup=OutsideNames(proxies).lookup,
        )
        self._happenings: asyncio.Queue[Happening | None] = asyncio.Queue()
        self._task: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._problem: str | None = "it was not asked yet"
        self._since = time.time()

    @property
    def problem(self) -> str | None:
        """Why the portal cannot be spoken with now; None if it can."""
        return self._problem

    def begin(self) -> None:
        """Connect, and stay connected."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End the connection."""
        self._connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.wait({self._task})
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def send(self, message: Message) -> None:
        """Say something; while there is no connection only candidates wait."""
        self._connection.send(message)

    def reconnect(self) -> None:
        """Make another connection at once."""
        self._connection.reconnect()

    async def first(self, kind: type[Message]) -> Message:
        """Wait for the first message of a kind; what comes after it is left to `follow`.

        Raises:
            FirezoneError: The portal does not take us, or is not there.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    happening = await self._next()
                    if isinstance(happening, Received) and isinstance(happening.message, kind):
                        return happening.message
        except TimeoutError as error:
            text = f"{self._portal.netloc} did not say within {PATIENCE:g} s what is to be done"
            hint = "its version may be another; the log tells what could not be read"
            raise PortalUnreachable(text, hint=hint) from error

    async def follow(
        self, take: Callable[[Message], Any], lost: Callable[[], None] = lambda: None
    ) -> None:
        """Take messages, one after the other, until the portal ends it.

        Args:
            take: Called with each; awaited before the next.
            lost: Called when the connection is lost.

        Raises:
            FirezoneError: The portal does not take us any more.
        """
        while True:
            match await self._next():
                case Received(message):
                    try:
                        await take(message)
                    except Exception:  # noqa: BLE001 - one message must not end the tunnel
                        self._log.exception(
                            "a message of the portal was not taken up",
                            event_name="portal.failed",
                            portal_event=message.event,
                        )
                case Offline():
                    lost()

    def status(self) -> dict[str, Any]:
        """Return what people want to know of it."""
        return {
            "address": self._portal.netloc,
            "connected": self._problem is None,
            "since": self._since,
            "problem": self._problem,
        }

    async def _run(self) -> None:
        try:
            await self._connection.run(self._take)
        finally:
            self._happenings.put_nowait(None)

    async def _next(self) -> Happening:
        happening = await self._happenings.get()
        if happening is None:
            # Raises what has ended it.
            await self._task
            raise PortalUnreachable("the connection to the portal was closed")
        return happening

    def _take(self, happening: Happening) -> None:
        match happening:
            case Joined():
                self._now(None)
                self._log.info("the portal knows us", event_name="portal.joined")
                self._connection.send(SetSnownetCapabilities(iceless=False))
            case Offline(reason, retry_in):
                self._now(reason)
                self._log.warning(
                    "the portal is not reached; what is allowed goes on",
                    event_name="portal.offline",
                    reason=reason,
                    retry_in=round(retry_in, 1),
                )
            case Passed(event, problem):
                self._log.warning(
                    "a frame of the portal is passed over",
                    event_name="portal.passed",
                    portal_event=event,
                    problem=problem,
                )
            case Received(message, ignored) if ignored:
                self._log.warning(
                    "a part of a message is passed over",
                    event_name="portal.ignored",
                    portal_event=message.event,
                    places=list(ignored),
                )
        self._happenings.put_nowait(happening)

    def _now(self, problem: str | None) -> None:
        if (problem is None) != (self._problem is None):
            self._since = time.time()
        self._problem = problem


class OutsideNames:
    """Finds the portal's addresses, also where a resource covers its name.

    Programs of the host, and this one, may ask the Client; it answers such a name with proxy
    addresses, which lead into the tunnel. Then those count that were found last.

    Args:
        proxies: Where proxy addresses come from.
        ask: Finds a host's addresses.
    """

    def __init__(self, proxies: Sequence[Network], ask: Lookup = addresses) -> None:
        self._proxies = proxies
        self._ask = ask
        self._last: list[Info] = []

    async def lookup(self, host: str, port: int) -> list[Info]:
        """Return the addresses that are outside of the tunnel.

        Raises:
            OSError: None was ever found.
        """
        try:
            found = await self._ask(host, port)
        except OSError:
            if not self._last:
                raise
            found = []
        outside = [info for info in found if not self._is_proxy(info)]
        if not outside and not self._last:
            message = f"{host}: a resource covers it, and it had no address before"
            raise OSError(message)
        self._last = outside or self._last
        return self._last

    def _is_proxy(self, info: Info) -> bool:
        address = ip_address(str(info[4][0]).partition("%")[0])
        return any(address in network for network in self._proxies)


def _outside_of_the_tunnel(opened: socket.socket) -> None:
    """Mark a socket: whatever a resource covers, the portal is not reached through it."""
    # As an int it would be more than the C one holds.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", FWMARK))
