"""Orchestration of a Gateway: look-ups for its core, and records of what was used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from .orchestration import Orchestration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from .orchestration import Listener, NameOf, Port
    from .resolver import Family, LookupResult

__all__ = ["Gateway", "NameLookup"]

LOOKUPS_AT_ONCE: Final = 256
"""Look-ups under way at once; the core asks for more as these end, and times each itself."""


class NameLookup(Protocol):
    """Who looks names up; `firezone.resolver.Resolver` is one."""

    async def lookup(self, name: str, family: Family) -> LookupResult:
        """Return the addresses of one family of a name, or why there are none."""
        ...


class Gateway(Orchestration):
    """Answers the core of one Gateway until it stops.

    Args:
        port: The way to the core.
        resolver: Who looks names up.
        log: Where events go.
        flow_logs: Whether flows are recorded at info; otherwise they are at debug.
        listeners: Type of an event to what is told of it as well.
        name_of: What the log calls Clients and resources.
    """

    _tables = {  # noqa: RUF012 - ClassVar in the base
        "nat.translations": "translations",
        "nat.flows": "flows",
        "counters": "counters",
        "peers": "peers",
    }
    _nat = "addresses"

    def __init__(
        self,
        port: Port,
        resolver: NameLookup,
        log: FilteringBoundLogger,
        *,
        flow_logs: bool = False,
        listeners: Mapping[str, Listener] | None = None,
        name_of: NameOf | None = None,
    ) -> None:
        super().__init__(port, log, listeners, name_of)
        self._resolver = resolver
        self._write_flow = log.info if flow_logs else log.debug
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    def _handle(self, event: dict[str, Any]) -> bool:
        match event["type"]:
            case "resolve_domain":
                self._begin(self._look_up(event))
            case "flow_opened":
                self._record_flow("opened", event)
            case "flow_closed":
                self._record_flow("closed", event)
            case "local_candidates" | "authorization_created":
                # For whoever speaks with the portal, as a listener.
                self._log.debug(
                    event["type"].replace("_", " "), event_name="ice.told", **self._fields(event)
                )
            case "access_expired":
                self._log.info("access expired", event_name="access.expired", **self._fields(event))
            case "foreign_source":
                self._log.warning(
                    "a Client sends from an address that is not its own",
                    event_name="access.foreign-source",
                    **self._fields(event),
                    hint="tunnel_addresses that it sets must be addresses of its [[client]]",
                )
            case _:
                return False
        return True

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
        self._send({**command, "result": result}, name=event["name"])

    def _record_flow(self, what: str, event: Mapping[str, Any]) -> None:
        self._write_flow(f"flow {what}", event_name=f"flow.{what}", **self._fields(event))
