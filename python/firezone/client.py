"""Orchestration of a Client: what its core asks for, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .errors import FirezoneError
from .orchestration import Orchestration, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from .orchestration import Listener, NameOf, Port

__all__ = ["Client", "ClientSource"]


class ClientSource(Protocol):
    """Who says what a Client may reach: a portal, a file, a laboratory."""

    async def authorize(
        self, resource: str, connected: Sequence[str] = ()
    ) -> Mapping[str, object] | str | None:
        """Ask for a resource.

        Args:
            resource: Its id.
            connected: Ids of Gateways that answer, the most wanted first.

        Returns:
            The Gateway that serves it (the core's `GatewayPeer`), or why there is none: `offline`,
            `forbidden` or `not_found`. None: the core was told already.

        Raises:
            FirezoneError: It could not be asked; that counts as `offline`.
        """
        ...


class Client(Orchestration):
    """Answers the core of one Client until it stops.

    Args:
        port: The way to the core.
        source: Who authorises.
        log: Where events go.
        listeners: Type of an event to what is told of it as well.
        name_of: What the log calls Gateways and resources.
    """

    _tables = {  # noqa: RUF012 - ClassVar in the base
        "nat.resources": "resources",
        "flows": "flows",
        "counters": "counters",
        "peers": "peers",
    }
    _nat = "DNS resource NAT"

    def __init__(
        self,
        port: Port,
        source: ClientSource,
        log: FilteringBoundLogger,
        listeners: Mapping[str, Listener] | None = None,
        name_of: NameOf | None = None,
    ) -> None:
        super().__init__(port, log, listeners, name_of)
        self._source = source

    def _handle(self, event: dict[str, Any]) -> bool:
        match event["type"]:
            case "authorization_needed":
                gateways = event.get("gateways", ())
                self._begin(self._authorize(event["resource"], gateways))
            case "proxies_assigned":
                self._log.debug(
                    "proxy addresses assigned", event_name="dns.assigned", **fields_of(event)
                )
            case "local_candidates":
                # For whoever carries them to the Gateway, as a listener.
                self._log.debug(
                    "own candidates changed", event_name="ice.candidates", **fields_of(event)
                )
            case "sentinels_changed":
                self._log.info(
                    "DNS addresses changed", event_name="dns.sentinels", **fields_of(event)
                )
            case _:
                return False
        return True

    async def _authorize(self, resource: str, connected: Sequence[str] = ()) -> None:
        asked = self._fields({"resource": resource})
        try:
            answer = await self._source.authorize(resource, connected)
        except FirezoneError as error:
            self._log.warning(
                "the source of access could not be asked",
                event_name="access.unknown",
                **asked,
                reason=str(error),
            )
            answer = "offline"
        except Exception:  # noqa: BLE001 - whoever it is, the endpoint goes on
            # Without an answer the core would hold packets for nothing.
            self._log.exception("the source of access failed", event_name="access.failed", **asked)
            answer = "offline"
        if isinstance(answer, str):
            self._log.warning(
                "access was not given",
                event_name="access.refused",
                **asked,
                reason=answer,
            )
            self._send({"type": "authorization_failed", "resource": resource, "reason": answer})
            return
        self._log.info("access given", event_name="access.given", **asked)
        if answer is not None:
            self._send({"type": "authorize", "resource": resource, "gateway": dict(answer)})
