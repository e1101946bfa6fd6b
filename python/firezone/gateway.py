"""Orchestration of a Gateway: look-ups for its core, and records of what was used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from .orchestration import Inspector, Port

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from .resolver import Family, LookupResult

__all__ = ["Gateway", "NameLookup"]

LOOKUPS_AT_ONCE: Final = 256
"""Look-ups under way at once; the core asks for more as these end, and times each itself."""


class NameLookup(Protocol):
    """Who looks names up; `firezone.resolver.Resolver` is one."""

    async def lookup(self, name: str, family: Family) -> LookupResult:
        """Return the addresses of one family of a name, or why there are none."""
        ...


class Gateway:
    """Answers the core of one Gateway until it stops.

    Args:
        port: The way to the core.
        resolver: Who looks names up.
        log: Where events go.
    """

    def __init__(self, port: Port, resolver: NameLookup, log: FilteringBoundLogger) -> None:
        self._port = port
        self._resolver = resolver
        self._log = log
        self._inspector = Inspector(port)
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._lookups: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Handle events until the core stops; look-ups under way are given up then."""
        try:
            async for event in self._port.events():
                self._handle(event)
        finally:
            for lookup in self._lookups:
                lookup.cancel()

    async def inspect(self, what: str, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return rows of the Gateway's state: `translations`, `flows` or `counters`."""
        return await self._inspector.inspect(what, limit=limit)

    def _handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "resolve_domain":
                lookup = asyncio.create_task(self._look_up(event))
                self._lookups.add(lookup)
                lookup.add_done_callback(self._lookups.discard)
            case "inspected":
                self._inspector.answer(event)
            case "nat":
                self._record_nat(event)
            case "flow_opened" | "flow_closed":
                self._record_flow(event)
            case "access_expired":
                self._log.info("access expired", event_name="access.expired", **_rest(event))
            case "tun_failed":
                self._log.error("the TUN device failed", event_name="tun.failed", **_rest(event))
            case _:
                self._log.debug("unknown event", event_name="core.unknown", **_rest(event))

    async def _look_up(self, event: dict[str, Any]) -> None:
        family: Family = event["family"]
        async with self._turns:
            result = await self._resolver.lookup(event["name"], family)
        self._port.send(
            {
                "type": "domain_resolved",
                "lookup": event["lookup"],
                "family": family,
                "result": result,
            }
        )

    def _record_nat(self, event: dict[str, Any]) -> None:
        what = event["event"]
        write = self._log.debug if what == "refreshed" else self._log.info
        write(f"addresses {what}", event_name=f"nat.{what}", **_rest(event))

    def _record_flow(self, event: dict[str, Any]) -> None:
        what = event["type"].replace("_", ".")
        self._log.info(f"{what.replace('.', ' ')}", event_name=what, **_rest(event))


def _rest(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("type", "event")}
