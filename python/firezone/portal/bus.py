"""Carries events from changes to sessions: within this process, and by the database to others.

SQLite: the portal is one process, which takes its own events at once; another program that changes
the database (the command line) leaves its events in the table `outbox`, in the transaction that
they belong to, and the portal looks there several times a second.

PostgreSQL: `NOTIFY` in the transaction, `LISTEN` in every process on a connection of its own. The
server delivers with the commit and in its order, to the process that sent it as well. A payload has
8000 bytes at most; an event with many addressees is cut into several.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from .events import (
    EVERYBODY,
    AccessRejected,
    Candidates,
    Event,
    Missed,
    ResourceUpdated,
    ViewChanged,
    encode,
    topics,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from types import TracebackType

__all__ = ["CHANNEL", "LocalBus", "Subscription", "payloads"]

CHANNEL: Final = "firezone_portal"
LARGEST_PAYLOAD: Final = 7900
"""Bytes; PostgreSQL takes 7999."""
LONGEST_QUEUE: Final = 1024
"""Events that a session may be behind; more, and it is told to look at everything again."""


class Subscription:
    """Events of some topics, in order.

    Args:
        bus: Whose.
        wanted: The topics.
    """

    def __init__(self, bus: LocalBus, wanted: tuple[str, ...]) -> None:
        self._bus = bus
        self._topics = wanted
        self._waiting: deque[Event] = deque()
        self._arrived = asyncio.Event()
        bus.add(self, wanted)

    def __enter__(self) -> Self:
        """Use it as a context: it listens since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        self._bus.remove(self, self._topics)

    def __aiter__(self) -> AsyncIterator[Event]:
        """Give one after the other, without an end."""
        return self._events()

    def put(self, event: Event) -> None:
        """Take an event; one look is enough for changes of the view that wait side by side."""
        if len(self._waiting) >= LONGEST_QUEUE:
            self._waiting.clear()
            event = Missed()
        before = self._waiting[-1] if self._waiting else None
        if isinstance(event, ViewChanged) and isinstance(before, ViewChanged):
            self._waiting.pop()
            event = replace(event, reset=tuple(dict.fromkeys((*before.reset, *event.reset))))
        self._waiting.append(event)
        self._arrived.set()

    async def next(self) -> Event:
        """Return the next event, waiting for it."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def taken(self) -> list[Event]:
        """Take all that wait, without waiting."""
        found = list(self._waiting)
        self._waiting.clear()
        return found

    async def _events(self) -> AsyncIterator[Event]:
        while True:
            yield await self.next()


class LocalBus:
    """The part of the bus within a process.

    Args:
        send: Carries events that belong to no transaction; None: they go to this process alone.
    """

    def __init__(self, send: Callable[[tuple[Event, ...]], Awaitable[None]] | None = None) -> None:
        self._listeners: dict[str, list[Subscription]] = defaultdict(list)
        self._send = send

    def subscribe(self, *topics: str) -> Subscription:
        """Listen from now on."""
        return Subscription(self, topics)

    async def publish(self, *events: Event) -> None:
        """Send events that belong to no transaction."""
        if self._send is None:
            self.deliver(events)
        else:
            await self._send(events)

    def deliver(self, events: Iterable[Event]) -> None:
        """Hand events to those in this process who listen, each once."""
        for event in events:
            reached: set[int] = set()
            for topic in topics(event):
                for listener in self._listeners.get(topic, ()):
                    if id(listener) not in reached:
                        reached.add(id(listener))
                        listener.put(event)

    def missed(self) -> None:
        """Tell everybody here that events may be lost."""
        self.deliver([Missed()])

    def add(self, listener: Subscription, wanted: tuple[str, ...]) -> None:
        """Let a subscription listen."""
        for topic in wanted:
            self._listeners[topic].append(listener)

    def remove(self, listener: Subscription, wanted: tuple[str, ...]) -> None:
        """Let it listen no more."""
        for topic in wanted:
            with suppress(ValueError):
                self._listeners[topic].remove(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]

    @property
    def listening(self) -> int:
        """How many sessions listen."""
        return len(self._listeners.get(EVERYBODY, ()))


def payloads(event: Event) -> list[str]:
    """Return the texts of an event, each small enough; what cannot be cut so far is left out."""
    text = encode(event)
    if len(text.encode()) <= LARGEST_PAYLOAD:
        return [text]
    return [part for half in _halves(event) for part in payloads(half)]


def _halves(event: Event) -> list[Event]:
    if isinstance(event, ViewChanged | ResourceUpdated) and len(event.devices) > 1:
        middle = len(event.devices) // 2
        return [
            replace(event, devices=event.devices[:middle]),
            replace(event, devices=event.devices[middle:]),
        ]
    if isinstance(event, ViewChanged) and len(event.reset) > 1:
        middle = len(event.reset) // 2
        return [replace(event, reset=part) for part in (event.reset[:middle], event.reset[middle:])]
    if isinstance(event, Candidates) and len(event.candidates) > 1:
        middle = len(event.candidates) // 2
        halves = (event.candidates[:middle], event.candidates[middle:])
        return [replace(event, candidates=part) for part in halves]
    if isinstance(event, AccessRejected) and len(event.accesses) > 1:
        middle = len(event.accesses) // 2
        halves_of = (event.accesses[:middle], event.accesses[middle:])
        return [replace(event, accesses=part) for part in halves_of]
    return []
