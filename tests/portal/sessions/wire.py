"""A portal at a real socket, and components that are nothing but their half of the channel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog
import uvicorn
from starlette.applications import Starlette
from tests.portal.world import NOW, key
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from firezone.portal.sessions import add_sessions
from firezone.signaling.address import Device, PortalAddress, request_url, user_agent
from firezone.signaling.channel import Channel, Joined, Received, SignedOut
from firezone.signaling.messages import Message
from firezone.signaling.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from structlog.typing import FilteringBoundLogger

    from firezone.portal.store import Store
    from firezone.signaling.channel import Event
    from firezone.signaling.messages import RelayJoin, Role

M = TypeVar("M", bound=Message)
PATIENCE = 20
"""Seconds; a test that waits so long has failed."""


class Portal:
    """A portal that serves until it is stopped.

    Args:
        store: What it knows.
    """

    def __init__(self, store: Store) -> None:
        self.now = float(NOW)
        self.app = Starlette()
        self.logged: list[dict[str, Any]] = []
        self.app.state.store, self.app.state.log = store, self._logger()
        self.app.state.clock = lambda: self.now
        add_sessions(self.app)
        self.port = 0
        self.wire: list[tuple[str, str, Any]] = []
        """(`G` or `P>G`, event, payload) of all components, in order; without heartbeats."""

    def _logger(self) -> FilteringBoundLogger:
        def keep(_logger: object, _method: str, event: Any) -> Any:
            self.logged.append(event)
            raise structlog.DropEvent

        logger: FilteringBoundLogger = structlog.wrap_logger(None, processors=[keep]).bind()
        return logger

    async def start(self) -> None:
        """Listen; after a stop at the same port."""
        self._socket = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            ws="websockets-sansio",
            ws_ping_interval=None,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._serving = asyncio.create_task(self._server._serve([self._socket]))
        await until(lambda: self._server.started)

    async def stop(self) -> None:
        """Close all sockets, as a restart does."""
        self._server.should_exit = True
        await self._serving
        self._socket.close()

    def frames(self, *names: str) -> list[tuple[str, str]]:
        """Return who said which event, of these components or of all."""
        return [
            (who, event)
            for who, event, _ in self.wire
            if not names or who.removeprefix("P>") in names
        ]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


class Component:
    """A Client, Gateway or Relay that does what a test says; a context.

    Args:
        portal: Where it connects.
        name: In the record of frames.
        role: What it is.
        token: What it signs in with.
        number: Of its key.
        join: What a Relay joins with.
        query: Of the request, in place of its own.
        agent: In place of its own.
    """

    def __init__(
        self,
        portal: Portal,
        name: str,
        role: Role,
        token: str | None,
        *,
        number: int = 1,
        join: RelayJoin | None = None,
        query: tuple[tuple[str, str], ...] = (),
        agent: str | None = None,
    ) -> None:
        self.portal, self.name, self.role = portal, name, role
        self.received: list[Message] = []
        self.is_signed_out = False
        self.is_joined = False
        self.closed: int | None = None
        self._outbox = Outbox()
        self._join = join
        address = PortalAddress.parse(f"ws://127.0.0.1:{portal.port}")
        if role == "relay":
            device, public = Device(role, more=query), ""
        else:
            device, public = Device(role, name, f"id-of-{name}", query), key(number)
        self.url = request_url(address, device, public)
        self.headers = {"User-Agent": user_agent(role) if agent is None else agent}
        if token is not None:
            self.headers["X-Authorization"] = f"Bearer {token}"
        self._task: asyncio.Task[None] | None = None
        self._said = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect, and join."""
        await self.begin()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connection."""
        await self.end()

    async def begin(self) -> None:
        """Connect, and join."""
        self.is_joined, self.closed = False, None
        self._websocket = await connect(
            self.url, additional_headers=self.headers, user_agent_header=None, compression=None
        )
        self._task = asyncio.create_task(self._run(self._websocket))
        await until(lambda: self.is_joined or self.closed is not None)

    async def end(self) -> None:
        """Close the connection."""
        await self._websocket.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def send(self, message: Message) -> None:
        """Say something."""
        self._outbox.put(message)
        self._said.set()

    async def raw(self, event: str, payload: Any, ref: int = 99) -> None:
        """Send a frame as it is."""
        frame = {"topic": self.role, "event": event, "payload": payload, "ref": ref}
        await self._websocket.send(json.dumps(frame))

    async def got(self, kind: type[M], count: int = 1) -> M:
        """Wait for a message of a kind, and return the last one."""
        await until(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[-1]

    def all(self, kind: type[M]) -> list[M]:
        """Return the messages of a kind."""
        return [each for each in self.received if isinstance(each, kind)]

    async def _run(self, websocket: ClientConnection) -> None:
        channel = Channel(self.role, self._outbox, now=time.monotonic(), join=self._join)
        try:
            await self._talk(websocket, channel)
        except ConnectionClosed:
            self.closed = websocket.close_code

    async def _talk(self, websocket: ClientConnection, channel: Channel) -> None:
        reading = asyncio.create_task(websocket.recv())
        try:
            while True:
                for text in channel.frames():
                    self._note(self.name, text)
                    await websocket.send(text)
                saying = asyncio.create_task(self._said.wait())
                await asyncio.wait({reading, saying}, return_when=asyncio.FIRST_COMPLETED)
                saying.cancel()
                self._said.clear()
                if reading.done():
                    text = reading.result()
                    self._note(f"P>{self.name}", str(text))
                    channel.receive(text, time.monotonic())
                    self._take(channel.events())
                    reading = asyncio.create_task(websocket.recv())
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Joined):
                self.is_joined = True
            elif isinstance(event, SignedOut):
                self.is_signed_out = True
            elif isinstance(event, Received):
                assert event.ignored == ()
                self.received.append(event.message)

    def _note(self, who: str, text: str) -> None:
        frame = json.loads(text)
        if frame["topic"] != "phoenix":
            self.portal.wire.append((who, frame["event"], frame["payload"]))


@contextlib.asynccontextmanager
async def serving(store: Store) -> AsyncIterator[Portal]:
    """Let a portal serve."""
    portal = Portal(store)
    await portal.start()
    try:
        yield portal
    finally:
        await portal.stop()
