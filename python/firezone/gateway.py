"""Orchestration of a Gateway: look-ups for its core, and records of what was used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from .orchestration import (
    Inspector,
    Listener,
    Method,
    Port,
    Question,
    fields_of,
    record_failure,
    record_peer,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        flow_logs: Whether flows are recorded at info; otherwise they are at debug.
        listeners: Type of an event to what is told of it as well.
        name_of: What people call a Client or a resource, by its id.
    """

    def __init__(
        self,
        port: Port,
        resolver: NameLookup,
        log: FilteringBoundLogger,
        *,
        flow_logs: bool = False,
        listeners: Mapping[str, Listener] | None = None,
        name_of: Callable[[str | None], str | None] | None = None,
    ) -> None:
        self._port = port
        self._resolver = resolver
        self._log = log
        self._listeners = dict(listeners or {})
        self._name_of = name_of
        self._write_flow = log.info if flow_logs else log.debug
        self._inspector = Inspector(port)
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._lookups: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Handle events until the core stops; look-ups under way are given up then."""
        try:
            async for event in self._port.events():
                self._handle(event)
        finally:
            self._inspector.close()
            for lookup in self._lookups:
                lookup.cancel()
            await asyncio.gather(*self._lookups, return_exceptions=True)

    async def inspect(self, what: Question, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return rows of the Gateway's state: `translations`, `flows`, `peers` or `counters`."""
        return await self._inspector.inspect(what, limit=limit)

    async def explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Say what would become of a packet; the method `explain` of the control socket."""
        return await self._inspector.explain(params)

    def methods(self) -> dict[str, Method]:
        """Return the Gateway's methods of the control socket."""
        tables = {
            "nat.translations": "translations",
            "nat.flows": "flows",
            "counters": "counters",
            "peers": "peers",
        }
        return {**self._inspector.methods(tables), "explain": self._inspector.explain}

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
            case "flow_opened":
                self._record_flow("opened", event)
            case "flow_closed":
                self._record_flow("closed", event)
            case "access_expired":
                self._log.info("access expired", event_name="access.expired", **fields_of(event))
            case "peer" | "peer_refused":
                record_peer(self._log, event)
            case "tun_failed" | "send_failed":
                record_failure(self._log, event)
            case _:
                self._log.debug("unknown event", event_name="core.unknown", core_event=event)
        tell(self._listeners, event, self._log)

    async def _look_up(self, event: dict[str, Any]) -> None:
        family: Family = event["family"]
        result: LookupResult
        async with self._turns:
            try:
                result = await self._resolver.lookup(event["name"], family)
            except Exception:  # noqa: BLE001 - whoever it is, the endpoint goes on
                # The core keeps the last good addresses (R21) sooner than by its own timer.
                self._log.exception(
                    "a look-up failed", event_name="dns.failed", name=event["name"], family=family
                )
                result = "other"
        command = {"type": "domain_resolved", "lookup": event["lookup"], "family": family}
        try:
            self._port.send({**command, "result": result})
        except ValueError as error:
            # It may have stopped meanwhile, which is no fault.
            self._log.warning(
                "the core did not take a look-up's result",
                event_name="core.refused",
                name=event["name"],
                reason=str(error),
            )

    def _record_flow(self, what: str, event: Mapping[str, Any]) -> None:
        fields = fields_of(event)
        if self._name_of is not None:
            fields["client_name"] = self._name_of(event["client"])
            fields["resource_name"] = self._name_of(event["resource"])
        self._write_flow(f"flow {what}", event_name=f"flow.{what}", **fields)

    def _record_nat(self, event: dict[str, Any]) -> None:
        what = event["event"]
        write = self._log.debug if what == "refreshed" else self._log.info
        write(f"addresses {what}", event_name=f"nat.{what}", **fields_of(event))
