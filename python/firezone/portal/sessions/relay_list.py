"""The Relays that a Client or a Gateway was told of, and when it is told of others.

When Relays come and go a session waits a second, since several do at once; then it says something
only if one that it gave out is gone, or it gave out fewer than two and there is one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from firezone.signaling.messages import RelaysPresence

from . import telling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firezone.portal.interface import RelayAddress
    from firezone.signaling.messages import TurnRelay

__all__ = ["DEBOUNCE", "RelayList"]

DEBOUNCE: Final = 1.0
"""Seconds from a change to looking at it."""
ENOUGH: Final = 2


class RelayList:
    """What one session gave out."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self.due = float("inf")
        """When to look, of the monotonic clock."""

    def changed(self, now: float) -> None:
        """Remember that a Relay came or went."""
        self.due = min(self.due, now + DEBOUNCE)

    def given(self, found: Iterable[RelayAddress]) -> tuple[TurnRelay, ...]:
        """Return what to give out, and remember it."""
        found = tuple(found)
        self._given |= {one.id for one in found}
        return telling.relays(found)

    def difference(self, found: Iterable[RelayAddress]) -> RelaysPresence | None:
        """Return what to say of the Relays that there are now, if anything."""
        self.due = float("inf")
        found = tuple(found)
        there = {one.id for one in found}
        gone = self._given - there
        if not gone and (len(self._given) >= ENOUGH or not there - self._given):
            return None
        self._given = set()
        return RelaysPresence(
            disconnected_ids=tuple(map(UUID, sorted(gone))), connected=self.given(found)
        )
