"""What the orchestration of every role shares: a port to its core, and questions over it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["Inspector", "Port"]


class Port(Protocol):
    """The way to one endpoint of the core, whatever drives it.

    Commands and events are the JSON objects of the core's `messages`: each has a `type`.
    """

    def send(self, command: Mapping[str, object]) -> None:
        """Queue a command; it is applied between two batches of packets.

        Raises:
            ValueError: The core does not know it, or its queue is full.
        """
        ...

    def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the endpoint's events in order, until the core stops."""
        ...


class Inspector:
    """Asks an endpoint for pages of its state and joins them.

    Args:
        port: The endpoint's port. Whoever reads its events passes `inspected` ones to `answer`.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def inspect(self, what: str, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the rows of `what`.

        Args:
            what: `counters` or a table of the role.
            limit: No more rows than these; None for all.
        """
        rows: list[dict[str, Any]] = []
        cursor: int | None = 0
        while cursor is not None and (limit is None or len(rows) < limit):
            number = next(self._ids)
            answer = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                self._port.send({"type": "inspect", "id": number, "what": what, "cursor": cursor})
                page = await answer
            finally:
                del self._waiting[number]
            rows += page["rows"]
            cursor = page["cursor"]
        return rows if limit is None else rows[:limit]

    def answer(self, event: dict[str, Any]) -> None:
        """Take an `inspected` event; one that nobody waits for any more is dropped."""
        waiting = self._waiting.get(event["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(event)
