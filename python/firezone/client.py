"""Orchestration of a Client: what its core asks for, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .orchestration import Inspector, Port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        """
        ...


class Client:
    """Answers the core of one Client until it stops.

    Args:
        port: The way to the core.
        source: Who authorises.
        log: Where events go.
        on_proxies: Called with each name that was given proxy addresses, to record it.
    """

    def __init__(
        self,
        port: Port,
        source: ClientSource,
        log: FilteringBoundLogger,
        on_proxies: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._port = port
        self._source = source
        self._log = log
        self._on_proxies = on_proxies
        self._inspector = Inspector(port)

    async def run(self) -> None:
        """Handle events until the core stops."""
        async for event in self._port.events():
            await self._handle(event)

    async def inspect(self, what: str, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return rows of the Client's state: `resources` or `counters`."""
        return await self._inspector.inspect(what, limit=limit)

    async def _handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "authorization_needed":
                await self._authorize(event["resource"])
            case "proxies_assigned":
                if self._on_proxies is not None:
                    self._on_proxies(event)
                self._log.debug(
                    "proxy addresses assigned", event_name="dns.assigned", **_rest(event)
                )
            case "nat":
                self._record_nat(event)
            case "inspected":
                self._inspector.answer(event)
            case "sentinels_changed":
                self._log.info("DNS addresses changed", event_name="dns.sentinels", **_rest(event))
            case "tun_failed":
                self._log.error("the TUN device failed", event_name="tun.failed", **_rest(event))
            case _:
                self._log.debug("unknown event", event_name="core.unknown", **_rest(event))

    async def _authorize(self, resource: str) -> None:
        answer = await self._source.authorize(resource)
        if isinstance(answer, str):
            self._log.warning(
                "access was not given",
                event_name="access.refused",
                resource=resource,
                reason=answer,
            )
            self._port.send(
                {"type": "authorization_failed", "resource": resource, "reason": answer}
            )
            return
        self._log.info("access given", event_name="access.given", resource=resource)
        self._port.send({"type": "authorize", "resource": resource, "gateway": dict(answer)})

    def _record_nat(self, event: dict[str, Any]) -> None:
        what = event["event"]
        # A refresh happens with every query; the others are news.
        write = self._log.debug if what == "refreshed" else self._log.info
        write(
            f"DNS resource NAT {what}",
            event_name=f"nat.{what}",
            name=event["name"],
            resource=event["resource"],
            gateway=event["gateway"],
        )


def _rest(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("type", "event")}
