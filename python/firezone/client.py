"""Orchestration of a Client: what its core asks for, and what it tells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from .errors import FirezoneError
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
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

__all__ = ["Client", "ClientSource"]


class ClientSource(Protocol):
    """Who says what a Client may reach: a portal, a file, a laboratory."""

    async def authorize(self, resource: str) -> Mapping[str, object] | str:
        """Ask for a resource.

        Args:
            resource: Its id.

        Returns:
            The Gateway that serves it (the core's `GatewayPeer`), or why there is none: `offline`,
            `forbidden` or `not_found`.

        Raises:
            FirezoneError: It could not be asked; that counts as `offline`.
        """
        ...


class Client:
    """Answers the core of one Client until it stops.

    Args:
        port: The way to the core.
        source: Who authorises.
        log: Where events go.
        listeners: Type of an event to what is told of it as well.
    """

    def __init__(
        self,
        port: Port,
        source: ClientSource,
        log: FilteringBoundLogger,
        listeners: Mapping[str, Listener] | None = None,
    ) -> None:
        self._port = port
        self._source = source
        self._log = log
        self._listeners = dict(listeners or {})
        self._inspector = Inspector(port)
        self._questions: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Handle events until the core stops; questions under way are given up then."""
        try:
            async for event in self._port.events():
                self._handle(event)
        finally:
            self._inspector.close()
            for question in self._questions:
                question.cancel()
            await asyncio.gather(*self._questions, return_exceptions=True)

    async def inspect(self, what: Question, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return rows of the Client's state: `resources`, `flows`, `peers`, `counters`."""
        return await self._inspector.inspect(what, limit=limit)

    async def explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Say what would become of a packet; the method `explain` of the control socket."""
        return await self._inspector.explain(params)

    def methods(self) -> dict[str, Method]:
        """Return the Client's methods of the control socket."""
        tables = {
            "nat.resources": "resources",
            "flows": "flows",
            "counters": "counters",
            "peers": "peers",
        }
        return {**self._inspector.methods(tables), "explain": self._inspector.explain}

    def _handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "authorization_needed":
                # The source may take its time; other events go on.
                question = asyncio.create_task(self._authorize(event["resource"]))
                self._questions.add(question)
                question.add_done_callback(self._questions.discard)
            case "proxies_assigned":
                self._log.debug(
                    "proxy addresses assigned", event_name="dns.assigned", **fields_of(event)
                )
            case "nat":
                self._record_nat(event)
            case "inspected":
                self._inspector.answer(event)
            case "sentinels_changed":
                self._log.info(
                    "DNS addresses changed", event_name="dns.sentinels", **fields_of(event)
                )
            case "peer" | "peer_refused" | "gateway_dead" | "gateway_alive":
                record_peer(self._log, event)
            case "tun_failed" | "send_failed":
                record_failure(self._log, event)
            case _:
                self._log.debug("unknown event", event_name="core.unknown", core_event=event)
        tell(self._listeners, event, self._log)

    async def _authorize(self, resource: str) -> None:
        try:
            answer = await self._source.authorize(resource)
        except FirezoneError as error:
            self._log.warning(
                "the source of access could not be asked",
                event_name="access.unknown",
                resource=resource,
                reason=str(error),
            )
            answer = "offline"
        except Exception:  # noqa: BLE001 - whoever it is, the endpoint goes on
            # Without an answer the core would hold packets for nothing.
            self._log.exception(
                "the source of access failed", event_name="access.failed", resource=resource
            )
            answer = "offline"
        if isinstance(answer, str):
            self._log.warning(
                "access was not given",
                event_name="access.refused",
                resource=resource,
                reason=answer,
            )
            self._send({"type": "authorization_failed", "resource": resource, "reason": answer})
            return
        self._log.info("access given", event_name="access.given", resource=resource)
        self._send({"type": "authorize", "resource": resource, "gateway": dict(answer)})

    def _send(self, command: Mapping[str, object]) -> None:
        try:
            self._port.send(command)
        except ValueError as error:
            # It may have stopped meanwhile, which is no fault.
            self._log.warning(
                "the core did not take a command",
                event_name="core.refused",
                command=command["type"],
                reason=str(error),
            )

    def _record_nat(self, event: dict[str, Any]) -> None:
        what = event["event"]
        # A refresh happens with every query; the others are news.
        write = self._log.debug if what == "refreshed" else self._log.info
        write(f"DNS resource NAT {what}", event_name=f"nat.{what}", **fields_of(event))
