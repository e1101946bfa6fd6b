"""A component's connection to its portal, kept up for as long as that makes sense.

    connection = PortalConnection(address, device, token, public_key=key)
    await connection.run(take)  # and `connection.send(message)` from `take` and elsewhere

Nothing of a component's state depends on it: a portal that is gone for a while changes no tunnel.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from firezone.errors import AccessDenied, AuthError, PortalUnreachable

from .address import Device, PortalAddress, request_url, user_agent
from .answers import Answer, classify
from .backoff import PARTITION, Backoff
from .channel import Channel, Joined, Lost, Passed, Received, Refused, SignedOut
from .dial import dial, tls_context
from .outbox import Outbox

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import SecretStr
    from websockets.asyncio.client import ClientConnection

    from .dial import Lookup
    from .messages import Message, RelayJoin

__all__ = ["Happening", "Offline", "PortalConnection"]

SEND_PATIENCE: Final = 40.0
"""Seconds that a portal may take nothing: as long as it may leave heartbeats unanswered."""


@dataclass(frozen=True, slots=True)
class Offline:
    """There is no connection for now.

    Args:
        reason: Why.
        retry_in: Seconds until the portal is tried again.
    """

    reason: str
    retry_in: float


Happening: TypeAlias = Joined | Received | Passed | Offline


class _Reconnect(Exception):
    """Somebody wants a new connection, now."""


class _Closed(Exception):
    """Somebody has closed the connection."""


class _Over(Exception):
    """The connection is lost."""


class PortalConnection:
    """Connects, joins, and connects again.

    Args:
        address: The portal.
        device: Who we are.
        token: What we sign in with; None is a portal that wants none.
        public_key: The WireGuard key of this session; a Relay has none.
        join: What a Relay joins with.
        authority: A file of certificates that the portal may prove itself with, beside those of
            the system.
        partition: Seconds without a portal until `run` gives up; None is never. By default a
            Client never does, others do after a day.
        prepare: Called with each socket before it connects, to keep it out of the tunnel.
        lookup: Finds the portal's addresses; by default the system does.
        randomness: Returns numbers from 0 to 1.
    """

    def __init__(
        self,
        address: PortalAddress,
        device: Device,
        token: SecretStr | None,
        *,
        public_key: str = "",
        join: RelayJoin | None = None,
        authority: Path | None = None,
        partition: float | str | None = "of the role",
        prepare: Callable[[socket.socket], None] = lambda _: None,
        lookup: Lookup | None = None,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._address, self._device, self._token = address, device, token
        self._public_key, self._join = public_key, join
        self._tls = tls_context(authority) if address.secure else None
        self._prepare, self._lookup = prepare, lookup
        borne = PARTITION[device.role] if isinstance(partition, str) else partition
        self._backoff = Backoff(borne, randomness)
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._request: type[_Reconnect | _Closed] | None = None

    def send(self, message: Message) -> None:
        """Say something, as soon as we are joined. Without a connection only candidates wait."""
        self._outbox.put(message)
        self._wake.set()

    def reconnect(self, public_key: str | None = None) -> None:
        """Close the connection and make another at once: the network has changed.

        Args:
            public_key: The session's new key, if it has one.
        """
        if public_key is not None:
            self._public_key = public_key
        if self._request is None:
            self._request = _Reconnect
        self._wake.set()

    def close(self) -> None:
        """Close the connection; `run` returns."""
        self._request = _Closed
        self._wake.set()

    async def run(self, take: Callable[[Happening], None]) -> None:
        """Stay connected until `close`.

        Args:
            take: Called with what happens, in order.

        Raises:
            AuthError: The token is not accepted, or not any more.
            AccessDenied: The portal does not let us join.
            PortalUnreachable: It was not there for too long.
            ConfigError: A setting is wrong.
        """
        while True:
            try:
                await self._connect_once(take)
            except _Closed:
                return
            except _Reconnect:
                self._backoff.reset()
                self._outbox.connection_lost()
                continue
            except _Over as error:
                answer = Answer(str(error))
            except InvalidStatus as error:
                got = error.response
                answer = classify(got.status_code, got.headers, bytes(got.body or b""), time.time())
            if answer.is_final:
                raise AuthError(answer.text, hint=_hint(answer))
            self._outbox.connection_lost()
            if not await self._wait(answer, take):
                return

    async def _wait(self, answer: Answer, take: Callable[[Happening], None]) -> bool:
        """Wait before the next try; return whether there is to be one."""
        delay = answer.retry_after
        if delay is None:
            delay = self._backoff.delay(time.monotonic())
        if delay is None:
            hint = "check api_url, and that the portal runs"
            raise PortalUnreachable(answer.text, hint=hint)
        take(Offline(answer.text, delay))
        until = time.monotonic() + delay
        while self._request is None and (left := until - time.monotonic()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                break
        # What was said meanwhile is not heard any more; candidates are.
        self._outbox.connection_lost()
        if self._request is _Reconnect:
            self._request = None
            self._backoff.reset()
        return self._request is None

    async def _connect_once(self, take: Callable[[Happening], None]) -> None:
        dialling = asyncio.create_task(self._dial())
        try:
            await self._first_of(dialling, None)
            socket = await dialling
        except (_Closed, _Reconnect):
            await _drop(dialling)
            raise
        except asyncio.CancelledError:
            await _drop(dialling)
            raise
        try:
            await self._talk(socket, take)
        except ConnectionClosed as error:
            raise _Over(f"the connection ended: {error}") from None
        except TimeoutError:
            raise _Over("the portal takes nothing any more") from None
        finally:
            await socket.close()

    async def _dial(self) -> ClientConnection:
        headers = {"User-Agent": user_agent(self._device.role)}
        if self._token is not None:
            headers["X-Authorization"] = f"Bearer {self._token.get_secret_value()}"
        url = request_url(self._address, self._device, self._public_key)
        try:
            return await dial(
                url, headers, tls=self._tls, prepare=self._prepare, lookup=self._lookup
            )
        except InvalidStatus:
            raise
        except (OSError, UnicodeError, WebSocketException) as error:
            text = str(error) or type(error).__name__
            raise _Over(f"{self._address.netloc}: {text}"[:512]) from error

    async def _talk(self, socket: ClientConnection, take: Callable[[Happening], None]) -> None:
        channel = Channel(self._device.role, self._outbox, now=time.monotonic(), join=self._join)
        receiving = asyncio.create_task(socket.recv())
        try:
            while True:
                for text in channel.frames():
                    async with asyncio.timeout(SEND_PATIENCE):
                        await socket.send(text)
                self._act(channel, take)
                await self._first_of(receiving, channel.deadline())
                if receiving.done():
                    text_or_bytes = receiving.result()
                    # Binary frames mean nothing here.
                    if isinstance(text_or_bytes, str):
                        channel.receive(text_or_bytes, time.monotonic())
                    receiving = asyncio.create_task(socket.recv())
                channel.handle_timer(time.monotonic())
        finally:
            await _drop(receiving)

    def _act(self, channel: Channel, take: Callable[[Happening], None]) -> None:
        for event in channel.events():
            match event:
                case Lost(reason):
                    raise _Over(reason)
                case Refused(reason):
                    raise AccessDenied(f"the portal does not let us join: {reason}")
                case SignedOut():
                    text = "the token has expired or was taken back"
                    raise AuthError(text, hint=_hint(Answer(text, is_token_bad=True)))
                case Joined():
                    self._backoff.joined()
                    take(event)
                    # What `take` says now goes out with what waited.
                    self._wake.set()
                case _:
                    take(event)

    async def _first_of(self, task: asyncio.Task[object], until: float | None) -> None:
        """Wait for a task, for something to say, or for a time.

        Raises:
            _Reconnect: Somebody wants that.
            _Closed: Somebody wants that.
        """
        waking = asyncio.create_task(self._wake.wait())
        left = None if until is None else max(0.0, until - time.monotonic())
        waiting = {task, waking}
        try:
            while True:
                await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                self._wake.clear()
                if self._request is not None:
                    wanted = self._request
                    if wanted is _Reconnect:
                        self._request = None
                    raise wanted
                if until is not None or task.done():
                    return
                # While we dial there is nobody to say something to.
                waking = asyncio.create_task(self._wake.wait())
                waiting = {task, waking}
        finally:
            waking.cancel()


async def _drop(task: asyncio.Task[object]) -> None:
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    if hasattr(result, "transport"):
        result.transport.abort()


def _hint(answer: Answer) -> str:
    if answer.is_token_bad:
        return "sign in again: the portal gives a new token"
    return "ask the portal's administrator"
