"""The portal as an application for any ASGI server."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi import FastAPI
from sqlalchemy import text
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotation
from starlette.responses import JSONResponse

from firezone import __version__

from .api import router
from .api.problems import add_handlers, problem
from .page import add_page
from .sessions import add_sessions
from .store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from structlog.typing import FilteringBoundLogger

__all__ = ["LARGEST_BODY", "create_app"]

LARGEST_BODY: Final = 256 * 1024
"""Bytes of a request's body."""
_HEADERS: Final = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"same-origin",
}


def create_app(
    database: str,
    *,
    log: FilteringBoundLogger | None = None,
    url: str | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Return the portal: JSON API, its description, the sessions' sockets, the page and `/healthz`.

    The database is opened when the server starts, and closed when it ends.

    Args:
        database: `sqlite:///path` or `postgresql://user@host/name`.
        log: Told of what fails; by default nobody.
        url: How Clients and Gateways reach it; by default as they say that they do.
        clock: Seconds since 1970.
    """
    logger = log or structlog.wrap_logger(None, processors=[_drop]).bind()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = await Store.open(database)
        try:
            async with store.running(logger, clock) as keeping:
                await keeping.ready()
                app.state.store = store
                yield
        finally:
            await store.close()

    app = FastAPI(
        title="firezone portal",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        # Their pages load scripts of other hosts.
        docs_url=None,
        redoc_url=None,
    )
    app.state.clock = clock
    app.state.log = logger
    app.state.url = url
    app.include_router(router)
    app.add_api_route("/healthz", _health, include_in_schema=False)
    add_handlers(app)
    add_sessions(app)
    add_page(app)
    app.add_middleware(_Bounded)
    return app


async def _health(request: Request) -> JSONResponse:
    """Tell whether the database answers."""
    store: Store = request.app.state.store
    async with store.database.connection() as connection:
        await connection.execute(text("SELECT 1"))
    return JSONResponse({"status": "ok", "sessions": store.bus.listening})


def _drop(*_event: Any) -> Any:
    raise structlog.DropEvent


class _Bounded:
    """Refuses bodies that are too large, and adds the headers that every answer has.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                new = [pair for pair in _HEADERS.items() if pair[0] not in there]
                message["headers"] = [*message["headers"], *new]
            await send(message)

        body = await _body(receive)
        if body is None:
            refusal = problem(413, "too_large", f"a body has at most {LARGEST_BODY} bytes")
            await refusal(scope, receive, sent)
            return

        async def received() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            whole, body = body, None
            return {"type": "http.request", "body": whole, "more_body": False}

        await self._app(scope, received, sent)


async def _body(receive: Receive) -> bytes | None:
    """Return a request's whole body; None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)
