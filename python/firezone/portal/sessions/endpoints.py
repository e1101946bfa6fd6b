"""The three endpoints: who may come in, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import WebSocketRoute

from firezone.errors import FirezoneError
from firezone.portal.interface import TokenRefused
from firezone.portal.model import TokenKind

from .client import ClientSession
from .gateway import GatewaySession
from .relay import RelaySession
from .session import Surroundings
from .upgrade import BadConnectParams, hello_of, problem, relay_addresses, token_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.applications import Starlette
    from starlette.websockets import WebSocket

    from firezone.portal.interface import Identity

    from .device import DeviceSession
    from .session import ComponentSession

__all__ = ["add_sessions"]

BUSY_SECONDS = 2
"""After which a component that could not be looked up comes again."""


def add_sessions(app: Starlette) -> None:
    """Give an application the endpoints of Clients, Gateways and Relays.

    Args:
        app: Its state has `store`, `clock` and `log` once it serves.
    """
    app.state.relay_sessions = {}
    client = _device(ClientSession, needs_version=True)
    gateway = _device(GatewaySession, needs_version=False)
    app.router.routes.extend(
        [
            WebSocketRoute("/client/v2/websocket", _endpoint(TokenKind.CLIENT, client)),
            WebSocketRoute("/gateway/v2/websocket", _endpoint(TokenKind.GATEWAY, gateway)),
            WebSocketRoute("/relay/websocket", _endpoint(TokenKind.RELAY, _relay)),
        ]
    )


def _endpoint(
    kind: TokenKind,
    begin: Callable[[WebSocket, Surroundings, Identity], Awaitable[ComponentSession]],
) -> Callable[[WebSocket], Awaitable[None]]:
    async def serve(websocket: WebSocket) -> None:
        state: Any = websocket.app.state
        token = token_of(websocket.headers, websocket.query_params)

        async def known() -> Identity:
            identity: Identity = await state.store.authenticate(token, kind, int(state.clock()))
            return identity

        around = Surroundings(state.store, state.clock, state.log, _origin(websocket), known)
        try:
            session = await begin(websocket, around, await known())
        except TokenRefused as error:
            await websocket.send_denial_response(problem(401, error.code, str(error)))
        except BadConnectParams as error:
            answer = problem(400, "invalid_connect_params", str(error))
            await websocket.send_denial_response(answer)
        except FirezoneError as error:
            state.log.warning("a component could not be let in", error=str(error))
            answer = problem(503, "unavailable", "try later", retry_after=BUSY_SECONDS)
            await websocket.send_denial_response(answer)
        else:
            await websocket.accept()
            await session.run()

    return serve


def _device(
    kind: type[DeviceSession], *, needs_version: bool
) -> Callable[[WebSocket, Surroundings, Identity], Awaitable[ComponentSession]]:
    async def begin(
        websocket: WebSocket, around: Surroundings, identity: Identity
    ) -> ComponentSession:
        headers, query = websocket.headers, websocket.query_params
        hello = hello_of(headers, query, _peer(websocket), needs_version=needs_version)
        session = await around.store.connect(identity, hello, around.now())
        return kind(websocket, around, session)

    return begin


async def _relay(
    websocket: WebSocket, around: Surroundings, identity: Identity
) -> ComponentSession:
    addresses = relay_addresses(websocket.query_params)
    present = websocket.app.state.relay_sessions
    return RelaySession(websocket, around, identity, addresses, present)


def _peer(websocket: WebSocket) -> str | None:
    return None if websocket.client is None else websocket.client.host


def _origin(websocket: WebSocket) -> str:
    """Return the portal's address: as configured, else as the component says."""
    configured: str | None = getattr(websocket.app.state, "url", None)
    if configured is not None:
        return configured
    scheme = "https" if websocket.url.scheme == "wss" else "http"
    return f"{scheme}://{websocket.url.netloc}"
