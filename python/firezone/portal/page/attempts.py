"""How often somebody may try a password: a sliding window, by address and by account."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

__all__ = ["MOST_OF_ADDRESS", "MOST_OF_USER", "WINDOW", "Attempts"]

MOST_OF_ADDRESS: Final = 10
"""Wrong passwords from one address within the window."""
MOST_OF_USER: Final = 50
"""Wrong passwords for one user within the window: more, so that locking somebody out is work."""
WINDOW: Final = 900
"""Seconds."""
MOST_KEYS: Final = 10_000
"""Remembered at once; beyond that, those that were quiet for the longest are forgotten."""


class Attempts:
    """Counts what went wrong; knows no clock.

    Args:
        most: How much may, of one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._wrong: OrderedDict[str, deque[int]] = OrderedDict()

    def wait(self, now: int, key: str) -> int:
        """Return the seconds until somebody may try again; 0 is now."""
        wrong = self._wrong.get(key)
        if wrong is None:
            return 0
        while wrong and wrong[0] <= now - WINDOW:
            wrong.popleft()
        return wrong[0] + WINDOW - now if len(wrong) >= self._most else 0

    def failed(self, now: int, key: str) -> None:
        """Remember a wrong password."""
        self._wrong.setdefault(key, deque(maxlen=self._most)).append(now)
        self._wrong.move_to_end(key)
        while len(self._wrong) > MOST_KEYS:
            self._wrong.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget what went wrong before."""
        self._wrong.pop(key, None)
