"""What the orchestration of every role shares: a port to its core, its events, and questions."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from .errors import EndpointNotRunning, TunnelTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from structlog.typing import FilteringBoundLogger

__all__ = [
    "Inspector",
    "Listener",
    "Method",
    "NameOf",
    "Orchestration",
    "Port",
    "Question",
    "fields_of",
]

PATIENCE: Final = 5.0
"""Seconds that a page of state may take; the core answers between two batches of packets."""

Method = Callable[[dict[str, Any]], Awaitable[Any]]
"""A method of the control socket: parameters to result. Bad parameters raise ValueError."""

Question = str | Mapping[str, Mapping[str, object]]
"""What can be asked of a core, as its `messages` have it."""

NameOf = Callable[[str | None], str | None]
"""What people call a Client, a Gateway or a resource, by its id; None if it is not known."""

Listener = Callable[[dict[str, Any]], None]
"""What is told of an event."""


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
        port: The endpoint's port. Whoever reads its events passes `inspected` ones to `answer`, and
            calls `close` when there will be no more.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._is_closed = False

    async def inspect(self, what: Question, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the rows of `what`.

        Args:
            what: `counters` or a table of the role, or a question with its parameters, like
                `{"explain": {"target": ...}}`.
            limit: No more rows than these; None for all.

        Raises:
            EndpointNotRunning: The core has stopped.
            TunnelTimeout: It did not answer in 5 s.
            ValueError: It has no such table, or its queue is full.
        """
        rows: list[dict[str, Any]] = []
        cursor: int | None = 0
        while cursor is not None and (limit is None or len(rows) < limit):
            page = await self._page(what, cursor)
            rows += page["rows"]
            cursor = page["cursor"]
        return rows if limit is None else rows[:limit]

    def answer(self, event: dict[str, Any]) -> None:
        """Take an `inspected` event; one that nobody waits for any more is dropped."""
        waiting = self._waiting.get(event["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(event)

    def close(self) -> None:
        """Tell all who wait, now and later, that the core has stopped."""
        self._is_closed = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_stopped())

    def methods(self, tables: Mapping[str, str]) -> dict[str, Method]:
        """Return methods of the control socket that answer with rows.

        Args:
            tables: Method to what it inspects. Each takes `limit`, a number of rows.
        """

        def method(what: str) -> Method:
            async def rows(params: dict[str, Any]) -> list[dict[str, Any]]:
                return await self.inspect(what, limit=_limit(params))

            return rows

        return {name: method(what) for name, what in tables.items()}

    async def explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Say what would become of a packet: a method of the control socket (R40).

        Args:
            params: `target`, a name or an address; `port` and `protocol`, else 443 and tcp.

        Raises:
            ValueError: A parameter is wrong.
        """
        return await self.inspect({"explain": _explained(params)})

    async def _page(self, what: Question, cursor: int) -> dict[str, Any]:
        if self._is_closed:
            raise _stopped()
        number = next(self._ids)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._port.send({"type": "inspect", "id": number, "what": what, "cursor": cursor})
            async with asyncio.timeout(PATIENCE):
                page: dict[str, Any] = await answer
        except TimeoutError as error:
            asked = what if isinstance(what, str) else ", ".join(what)
            message = f"the core did not tell its {asked} within {PATIENCE:g} s"
            raise TunnelTimeout(message) from error
        finally:
            del self._waiting[number]
        return page


class Orchestration(ABC):
    """Answers the core of one endpoint until it stops.

    Args:
        port: The way to the core.
        log: Where events go.
        listeners: Type of an event to what is told of it as well.
        name_of: What the log calls those whose ids are in an event.
    """

    _tables: ClassVar[Mapping[str, str]]
    """Method of the control socket to the table that it shows."""
    _nat: ClassVar[str]
    """What `nat` events tell of."""

    def __init__(
        self,
        port: Port,
        log: FilteringBoundLogger,
        listeners: Mapping[str, Listener] | None = None,
        name_of: NameOf | None = None,
    ) -> None:
        self._port = port
        self._name_of = name_of
        self._log = log
        self._listeners = dict(listeners or {})
        self._inspector = Inspector(port)
        self._work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Handle events until the core stops; work that they began is given up then."""
        try:
            async for event in self._port.events():
                self._take(event)
                self._tell(event)
        finally:
            self._inspector.close()
            for work in self._work:
                work.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)

    async def inspect(self, what: Question, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return rows of the endpoint's state: `counters` or a table of the role."""
        return await self._inspector.inspect(what, limit=limit)

    async def explain(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Say what would become of a packet; the method `explain` of the control socket."""
        return await self._inspector.explain(params)

    def methods(self) -> dict[str, Method]:
        """Return the endpoint's methods of the control socket."""
        return {**self._inspector.methods(self._tables), "explain": self._inspector.explain}

    @abstractmethod
    def _handle(self, event: dict[str, Any]) -> bool:
        """Handle an event of this role alone; False if it is none."""

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that may take its time; other events go on."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _send(self, command: Mapping[str, object], **fields: object) -> None:
        """Queue a command; a core that does not take it is told of in the log, with `fields`."""
        try:
            self._port.send(command)
        except ValueError as error:
            # It may have stopped meanwhile, which is no fault.
            self._log.warning(
                "the core did not take a command",
                event_name="core.refused",
                command=command["type"],
                reason=str(error),
                **fields,
            )

    def _take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "inspected":
                self._inspector.answer(event)
            case "nat":
                what = event["event"]
                # A refresh happens with every query; the others are news.
                write = self._log.debug if what == "refreshed" else self._log.info
                write(f"{self._nat} {what}", event_name=f"nat.{what}", **self._fields(event))
            case "peer" | "peer_refused" | "gateway_dead" | "gateway_alive":
                _record_peer(self._log, event["type"], self._fields(event))
            case "tun_failed" | "send_failed":
                _record_failure(self._log, event)
            case _ if not self._handle(event):
                self._log.debug("unknown event", event_name="core.unknown", core_event=event)

    def _fields(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an event for the log, with the names of those who have one."""
        fields = fields_of(event)
        if self._name_of is not None:
            for role in ("client", "gateway", "resource"):
                if role in fields:
                    fields[f"{role}_name"] = self._name_of(fields[role])
        return fields

    def _tell(self, event: dict[str, Any]) -> None:
        """Tell a listener; what it fails at is logged, and the endpoint goes on."""
        listener = self._listeners.get(event["type"])
        if listener is None:
            return
        try:
            listener(event)
        except Exception:  # noqa: BLE001 - whoever it is, the endpoint goes on
            self._log.exception(
                "an event was not taken up", event_name="core.listener", core_event=event["type"]
            )


def _record_peer(log: FilteringBoundLogger, event: str, fields: Mapping[str, Any]) -> None:
    """Log what became of a peer."""
    match event, fields.get("state"):
        case "peer", "connected":
            log.info("peer connected", event_name="peer.connected", **fields)
        case "peer", _:
            log.warning("peer does not answer", event_name="peer.unreachable", **fields)
        case "gateway_dead", _:
            log.warning("Gateway answers nothing", event_name="gateway.dead", **fields)
        case "gateway_alive", _:
            log.info("Gateway answers again", event_name="gateway.alive", **fields)
        case _:
            log.error("peer cannot be used", event_name="peer.refused", **fields)


def _record_failure(log: FilteringBoundLogger, event: Mapping[str, Any]) -> None:
    """Log what the kernel refuses."""
    if event["type"] == "tun_failed":
        log.error("the TUN device failed", event_name="tun.failed", **fields_of(event))
    else:
        log.warning("the kernel does not send", event_name="udp.failed", **fields_of(event))


def fields_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event for the log: all but what it is."""
    return {name: value for name, value in event.items() if name not in ("type", "event")}


def _stopped() -> EndpointNotRunning:
    return EndpointNotRunning("the core has stopped", hint="start the endpoint again")


def _explained(params: Mapping[str, Any]) -> dict[str, object]:
    target, port = params.get("target"), params.get("port", 443)
    protocol = params.get("protocol", "tcp")
    if params.keys() - {"target", "port", "protocol"} or not isinstance(target, str):
        message = "explain takes target (a name or an address), port and protocol"
        raise ValueError(message)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 2**16:
        message = "port must be a number from 0 to 65535"
        raise ValueError(message)
    if protocol not in ("tcp", "udp", "icmp"):
        message = "protocol must be tcp, udp or icmp"
        raise ValueError(message)
    return {"target": target, "port": port, "protocol": protocol}


def _limit(params: Mapping[str, Any]) -> int | None:
    unknown = ", ".join(sorted(params.keys() - {"limit"}))
    if unknown:
        message = f"unknown parameters: {unknown}; there is limit"
        raise ValueError(message)
    limit = params.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        message = "limit must be a number of rows"
        raise ValueError(message)
    return limit
