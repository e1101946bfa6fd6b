"""The whole portal at a socket, and the connection that components really use."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
from pydantic import SecretStr
from tests.portal.sessions.wire import until
from tests.portal.world import NOW, World, key

from firezone.errors import AuthError
from firezone.portal.app import create_app
from firezone.portal.store import Store, tokens
from firezone.signaling.address import Device, PortalAddress
from firezone.signaling.channel import Joined, Received
from firezone.signaling.connection import Happening, PortalConnection
from firezone.signaling.messages import ClientInit, NoRelays, RelaysPresence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def application(url: str, listener: socket.socket) -> AsyncIterator[None]:
    """Let the application serve at a listener."""
    app = create_app(url, clock=lambda: NOW)
    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_ping_interval=None, lifespan="on", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))
    await until(lambda: server.started or serving.done())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def inits(seen: list[Happening]) -> list[ClientInit]:
    messages = [each.message for each in seen if isinstance(each, Received)]
    return [message for message in messages if isinstance(message, ClientInit)]


async def test_a_client_outlives_its_portal_and_not_its_token(url: str) -> None:
    store = await Store.open(url, serves=False)
    world = await World.find(store, "corp")
    made, token = await world.token("client")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    held = PortalConnection(
        PortalAddress.parse(f"ws://127.0.0.1:{port}"),
        Device("client", "laptop", "id"),
        SecretStr(token),
        public_key=key(1),
    )
    seen: list[Happening] = []
    async with application(url, listener):
        running = asyncio.create_task(held.run(seen.append))
        await until(lambda: len(inits(seen)) == 1)
    listener.close()
    again = socket.create_server(("127.0.0.1", port))
    async with application(url, again):
        await until(lambda: len(inits(seen)) == 2)
        held.send(NoRelays())
        await until(
            lambda: any(
                isinstance(each, Received) and isinstance(each.message, RelaysPresence)
                for each in seen
            )
        )
        async with world.change() as scope:
            await tokens.revoke_token(scope, made.id)
        with pytest.raises(AuthError, match="expired or was taken back"):
            await running
    again.close()
    await store.close()

    assert seen.count(Joined()) == 2
    first, second = inits(seen)
    assert first == second
