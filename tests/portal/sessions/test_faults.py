"""Components that misbehave: each ends its own session and nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tests.portal.sessions.wire import Component, Portal
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from firezone.portal.events import Candidates
from firezone.portal.model import TokenKind
from firezone.portal.sessions import session
from firezone.portal.store import devices
from firezone.signaling import messages as say
from firezone.signaling import portal_channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.portal.world import World
    from websockets.asyncio.client import ClientConnection


@pytest.fixture
async def other(portal: Portal, world: World) -> AsyncIterator[Component]:
    """A Gateway that behaves."""
    _, token = await world.token("gateway")
    async with Component(portal, "G", "gateway", token, number=100) as gateway:
        await gateway.got(say.GatewayInit)
        yield gateway
        gateway.send(say.NoRelays())
        await gateway.got(say.RelaysPresence)
        assert {one["event"] for one in portal.logged} <= {"no frame"}


async def bare(portal: Portal, world: World, **options: Any) -> ClientConnection:
    """Connect a Client that does nothing by itself."""
    _, token = await world.token("client")
    made = Component(portal, "C", "client", token)
    return await connect(
        made.url, additional_headers=made.headers, compression=None, ping_interval=None, **options
    )


async def close_code(websocket: ClientConnection) -> int | None:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionClosed):
            async for _ in websocket:
                pass
        await websocket.wait_closed()
    return websocket.close_code


def frame(event: str, payload: Any, topic: str = "client", ref: Any = 0) -> str:
    return json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref})


@pytest.mark.parametrize(
    "text", ["nothing", "[" * 100_000, '{"topic": "client"}', '{"topic":"client","ev', "\ud7ff"]
)
async def test_what_is_no_frame(portal: Portal, world: World, other: Component, text: str) -> None:
    websocket = await bare(portal, world)

    await websocket.send(text)

    assert await close_code(websocket) == 1007
    assert other.closed is None


async def test_a_frame_that_is_too_large(portal: Portal, world: World, other: Component) -> None:
    websocket = await bare(portal, world)
    await websocket.send(frame("phx_join", None))

    with pytest.raises(ConnectionClosed):
        await websocket.send("x" * (17 * 2**20))

    assert websocket.close_code == 1009
    assert other.closed is None


async def test_another_topic_and_messages_before_the_join(
    portal: Portal, world: World, other: Component
) -> None:
    websocket = await bare(portal, world)
    for text in (
        frame("phx_join", None, "gateway", 0),
        frame("no_relays", {}, "client", 1),
        frame("authorization_created", {"ref": "x"}, "gateway", 2),
    ):
        await websocket.send(text)
        answer = json.loads(await websocket.recv())
        assert answer["payload"]["response"] == {"reason": "unmatched topic"}
    await websocket.close()
    assert other.closed is None


async def test_who_falls_silent_is_gone(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal_channel.IDLE, "client", 0.3)
    websocket = await bare(portal, world)
    await websocket.send(frame("phx_join", None))

    assert await close_code(websocket) == 1001
    await until_offline(world)


async def test_who_vanishes_is_gone(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(portal_channel.IDLE, "client", 0.3)
    websocket = await bare(portal, world)
    await websocket.send(frame("phx_join", None))
    await websocket.recv()
    await until_online(world)

    # From here on nobody is at the other end, and nothing says so.
    websocket.transport.pause_reading()  # type: ignore[attr-defined]

    await until_offline(world)
    websocket.transport.abort()


async def test_who_does_not_read_is_gone(
    portal: Portal, world: World, other: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SEND_PATIENCE", 0.3)
    small = socket.create_connection(("127.0.0.1", portal.port))
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    websocket = await bare(portal, world, sock=small)
    await websocket.send(frame("phx_join", None))
    await websocket.recv()
    websocket.transport.pause_reading()  # type: ignore[attr-defined]

    async with world.change() as scope:
        (device,) = await devices.list_devices(scope, TokenKind.CLIENT)
    many = ("candidate:1 1 udp 1 192.0.2.1 1 typ host",) * 150

    async def flood() -> None:
        while True:
            await world.store.bus.publish(Candidates(device.id, device.id, many))
            await asyncio.sleep(0.001)

    flooding = asyncio.create_task(flood())
    await until_offline(world)
    flooding.cancel()
    websocket.transport.abort()
    assert other.closed is None


async def until_online(world: World) -> None:
    """Wait until a Client is online."""
    await _until(world, online=True)


async def until_offline(world: World) -> None:
    """Wait until no Client is online."""
    await _until(world, online=False)


async def _until(world: World, *, online: bool) -> None:
    async with asyncio.timeout(20):
        while True:
            async with world.change() as scope:
                found = await devices.list_devices(scope, TokenKind.CLIENT)
            if any(one.online for one in found) == online:
                return
            await asyncio.sleep(0.02)
