"""What a component has still to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .messages import (
    BroadcastIceCandidates,
    BroadcastInvalidatedIceCandidates,
    InvalidateClientIceCandidates,
    InvalidateGatewayIceCandidates,
    NewClientIceCandidates,
    NewGatewayIceCandidates,
)

if TYPE_CHECKING:
    from .messages import Message

__all__ = ["MOST", "Outbox"]

MOST: Final = 1024
"""Messages that wait; the oldest gives way."""

_HELD: Final = (
    BroadcastIceCandidates,
    BroadcastInvalidatedIceCandidates,
    InvalidateClientIceCandidates,
    InvalidateGatewayIceCandidates,
    NewClientIceCandidates,
    NewGatewayIceCandidates,
)


class Outbox:
    """Messages in order; an equal one does not wait twice.

    It outlives connections: candidates wait for the next one, everything else is forgotten, as
    later traffic asks for it anew.
    """

    def __init__(self) -> None:
        # A dict keeps the order and finds an equal one at once.
        self._waiting: dict[Message, None] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, message: Message) -> None:
        """Add a message."""
        self._waiting.setdefault(message)
        if len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]

    def take(self) -> list[Message]:
        """Return all that wait, and forget them."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def connection_lost(self) -> None:
        """Forget what does not wait for the next connection."""
        self._waiting = {message: None for message in self._waiting if isinstance(message, _HELD)}
