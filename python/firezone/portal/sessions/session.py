"""What all sessions have in common: the socket, the channel, the events, the time.

One task for each session. It waits for a frame, an event or a time, whichever comes first, and is
done with one before it takes the next.
"""
# ruff: noqa: B027 - what a kind of session does not override does nothing

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from starlette.websockets import WebSocketDisconnect, WebSocketState

from firezone.portal.events import DeviceRemoved, Missed, SessionReplaced, TokenRevoked
from firezone.portal.interface import TokenRefused
from firezone.signaling.messages import Disconnect, MessageRefused
from firezone.signaling.portal_channel import Heard, JoinAsked, Left, Malformed, PortalChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.websockets import WebSocket
    from structlog.typing import FilteringBoundLogger

    from firezone.portal.events import Event
    from firezone.portal.interface import Identity, Sessions
    from firezone.signaling.messages import Message, RelayJoin, Role

__all__ = ["Close", "ComponentSession", "Surroundings"]

SEND_PATIENCE: Final = 30.0
"""Seconds that a component may take nothing before it counts as gone."""
NORMAL, GOING_AWAY, MALFORMED, RESTART = 1000, 1001, 1007, 1012


class Close(Exception):
    """The socket is to be closed.

    Args:
        code: Of the close frame; components make no difference.
    """

    def __init__(self, code: int = NORMAL) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session has around it.

    Args:
        store: What the portal knows.
        clock: Seconds since 1970.
        log: Told of what fails.
        origin: The portal's own address, as the component has it.
        recheck: Raises TokenRefused if the token is none any more: it may have been taken back
            before the session began to listen.
    """

    store: Sessions
    clock: Callable[[], float]
    log: FilteringBoundLogger
    origin: str
    recheck: Callable[[], Awaitable[object]]

    def now(self) -> int:
        """Return the time in whole seconds."""
        return int(self.clock())


class ComponentSession(ABC):
    """One component at its socket.

    Args:
        websocket: Accepted.
        around: What there is.
        identity: By which token it came.
    """

    role: ClassVar[Role]

    def __init__(self, websocket: WebSocket, around: Surroundings, identity: Identity) -> None:
        self.around = around
        self.store = around.store
        self.identity = identity
        self.channel = PortalChannel(self.role, now=time.monotonic())
        self._websocket = websocket

    @abstractmethod
    def topics(self) -> tuple[str, ...]:
        """Return what the session listens to."""

    @abstractmethod
    async def joined(self, relay: RelayJoin | None) -> None:
        """Register the session and tell the component all that it has to know."""

    async def heard(self, message: Message, ref: Any) -> None:
        """Do what the component asks for."""

    async def told(self, event: Event) -> None:
        """Do what follows from an event of the bus."""

    async def missed(self) -> None:
        """Say what the component cannot learn from its next `init`."""

    async def time_passed(self, now: float) -> None:
        """Do what is due.

        Args:
            now: Of the monotonic clock.
        """

    def next_due(self) -> float:
        """Return when `time_passed` has something to do, of the monotonic clock."""
        return float("inf")

    async def left(self) -> None:
        """Take back what `joined` did."""

    def say(self, message: Message) -> None:
        """Send a message; one that the component would silently drop is logged instead."""
        try:
            self.channel.send(message)
        except MessageRefused as error:
            self.around.log.warning("a message is wrong", problem=str(error))

    async def run(self) -> None:
        """Serve the component until it goes or has to."""
        code = RESTART
        try:
            with self.store.bus.subscribe(*self.topics()) as subscription:
                await self._serve(aiter(subscription))
        except Close as close:
            code = close.code
        except (WebSocketDisconnect, TimeoutError):
            code = GOING_AWAY
        except Exception as error:
            # The component comes back and starts anew.
            self.around.log.exception("a session failed", role=self.role, error=repr(error))
        finally:
            await asyncio.shield(self._end(code))

    async def _serve(self, events: AsyncIterator[Event]) -> None:
        frame: asyncio.Task[Any] = asyncio.create_task(self._websocket.receive())
        event: asyncio.Task[Any] = asyncio.ensure_future(_next(events))
        try:
            while True:
                self._check_token()
                due = min(self.channel.deadline(), self.next_due(), self._token_due())
                left = max(0.0, due - time.monotonic())
                await asyncio.wait(
                    {frame, event}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                if event.done():
                    happened = event.result()
                    event = asyncio.ensure_future(_next(events))
                    await self._take_event(happened)
                if frame.done():
                    received = frame.result()
                    frame = asyncio.create_task(self._websocket.receive())
                    await self._take_frame(received)
                self.channel.handle_timer(time.monotonic())
                await self._act()
                await self.time_passed(time.monotonic())
                await self._flush()
        finally:
            await self._flush_what_can_be()
            for task in (frame, event):
                task.cancel()
            await asyncio.gather(frame, event, return_exceptions=True)

    async def _take_frame(self, received: Any) -> None:
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", NORMAL))
        text = received.get("text")
        if text is not None:
            self.channel.receive(text, time.monotonic())

    async def _act(self) -> None:
        for happened in self.channel.events():
            match happened:
                case JoinAsked(relay):
                    self.channel.accept()
                    await self._check_token_again()
                    await self.joined(relay)
                case Heard(message, ref):
                    await self.heard(message, ref)
                case Malformed(problem):
                    self.around.log.warning("no frame", role=self.role, problem=problem)
                    raise Close(MALFORMED)
                case Left():
                    raise Close(GOING_AWAY)

    async def _take_event(self, event: Event) -> None:
        match event:
            case TokenRevoked():
                self._sign_out()
            case DeviceRemoved():
                self.channel.close()
                raise Close
            case SessionReplaced(session=session) if session != self.session_id:
                # Without `disconnect`: that would sign out who has just come.
                raise Close
            case SessionReplaced():
                return
            case Missed():
                await self._start_anew()
            case _:
                await self.told(event)

    async def _start_anew(self) -> None:
        """Close, as events may be lost: whoever comes back is registered and told everything."""
        if self.channel.is_joined:
            await self.missed()
            raise Close(RESTART)

    @property
    def session_id(self) -> str | None:
        """The session's id, if its device has sessions that replace each other."""
        return None

    def _check_token(self) -> None:
        ends = self.identity.token.expires_at
        if ends is not None and self.around.clock() >= ends:
            self._sign_out()

    async def _check_token_again(self) -> None:
        try:
            await self.around.recheck()
        except TokenRefused:
            self._sign_out()

    def _token_due(self) -> float:
        ends = self.identity.token.expires_at
        if ends is None:
            return float("inf")
        return time.monotonic() + max(0.0, ends - self.around.clock())

    def _sign_out(self) -> None:
        if self.role != "relay":
            self.say(Disconnect(reason="token_expired"))
        raise Close(GOING_AWAY if self.role == "relay" else NORMAL)

    async def _flush(self) -> None:
        for text in self.channel.frames():
            # One that does not read must not be waited for without end.
            async with asyncio.timeout(SEND_PATIENCE):
                await self._websocket.send_text(text)

    async def _flush_what_can_be(self) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._flush()
        except Exception:  # noqa: BLE001 - it has gone
            return

    async def _end(self, code: int) -> None:
        try:
            await self.left()
        except Exception as error:  # noqa: BLE001 - housekeeping takes it back later
            self.around.log.warning("a session could not be ended", error=repr(error))
        if self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(5.0):
                    await self._websocket.close(code)
            except Exception:  # noqa: BLE001 - it has gone
                return


async def _next(events: AsyncIterator[Event]) -> Event:
    return await anext(events)
