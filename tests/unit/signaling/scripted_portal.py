"""A portal on loopback that does as it is told, and a component of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from tests.unit.signaling import examples
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from firezone.signaling.address import Device, PortalAddress
from firezone.signaling.channel import Joined
from firezone.signaling.connection import Happening, PortalConnection
from firezone.signaling.messages import (
    ResourceDeleted,
)
from firezone.signaling.portal_channel import JoinAsked, PortalChannel

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable


class Portal:
    """A portal that does as it is told.

    Args:
        script: What it does with the first connections, one after the other: a callable of the
            socket, or a response to the request. The last one goes on for all that follow.
    """

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.said: list[str] = []
        self.port = 0

    def answer(self, _socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        now = self.script[0]
        if isinstance(now, Response):
            if len(self.script) > 1:
                self.script.pop(0)
            return now
        return None

    async def serve(self, websocket: ServerConnection) -> None:
        act = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        with contextlib.suppress(ConnectionClosed):
            await act(self, websocket)


@contextlib.asynccontextmanager
async def running(portal: Portal, tls: ssl.SSLContext | None = None) -> AsyncIterator[Portal]:
    async with serve(
        portal.serve, "127.0.0.1", 0, process_request=portal.answer, ssl=tls, close_timeout=0.1
    ) as server:
        portal.port = next(iter(server.sockets)).getsockname()[1]
        yield portal


async def good(portal: Portal, websocket: ServerConnection) -> None:
    """Join, then tell what the component says."""
    half = PortalChannel("client", now=0.0)
    async for text in websocket:
        half.receive(text, 0.0)
        for event in half.events():
            if isinstance(event, JoinAsked):
                half.accept()
                half.send(ResourceDeleted(id=examples.DNS_ID))
        read = json.loads(text)
        portal.said.append(read["event"])
        for answer in half.frames():
            await websocket.send(answer)


def saying(*frames: str | bytes, close: int | None = None) -> Any:
    async def act(portal: Portal, websocket: ServerConnection) -> None:
        await websocket.recv()
        for each in frames:
            await websocket.send(each)
        if close is not None:
            await websocket.close(close)
        else:
            await websocket.wait_closed()
        del portal

    return act


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    fields = {"Content-Length": str(len(body)), "Content-Type": "application/problem+json"}
    return Response(status, HTTPStatus(status).phrase, Headers(fields | headers), body)


OK = '{"topic":"client","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":0}'


def component(
    portal: Portal, scheme: str = "ws", host: str = "127.0.0.1", **options: Any
) -> PortalConnection:
    return PortalConnection(
        PortalAddress.parse(f"{scheme}://{host}:{portal.port}/x"),
        Device("client", "laptop", "id"),
        SecretStr("canary-token"),
        public_key=examples.CLIENT_KEY,
        **options,
    )


async def until(
    held: PortalConnection, enough: Callable[[list[Happening]], bool]
) -> list[Happening]:
    """Run a connection until enough has happened, then close it."""
    seen: list[Happening] = []

    def take(event: Happening) -> None:
        seen.append(event)
        if enough(seen):
            held.close()

    await held.run(take)
    return seen


def joins(count: int) -> Callable[[list[Happening]], bool]:
    return lambda seen: seen.count(Joined()) == count


def kinds(seen: list[Happening]) -> list[str]:
    return [type(event).__name__ for event in seen]


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
