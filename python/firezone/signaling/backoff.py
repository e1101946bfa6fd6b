"""How long to wait before the portal is tried again, and when to give up.

Before the first join of a process: one second each time, fifteen in all, so that a wrong setting is
soon seen. After it: half a second, growing by half each time to a minute, for as long as the role
bears to be without a portal. Delays vary by half either way, so that not all come back at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PARTITION", "Backoff"]

FIRST_DELAY: Final = 1.0
FIRST_BUDGET: Final = 15.0
INITIAL: Final = 0.5
FACTOR: Final = 1.5
CAP: Final = 60.0
JITTER: Final = 0.5
PARTITION: Final = {"client": None, "gateway": 86400.0, "relay": 86400.0}
"""Seconds without a portal after which a role gives up; a Client never does."""


class Backoff:
    """Delays of one process.

    Args:
        partition: Seconds without a portal, after the first join, until giving up; None is never.
        random: Returns numbers from 0 to 1.
    """

    def __init__(self, partition: float | None, random: Callable[[], float]) -> None:
        self._partition = partition
        self._random = random
        self._has_joined = False
        self._spent = 0.0
        self._interval = INITIAL
        self._lost_at: float | None = None

    def joined(self) -> None:
        """Start anew: the portal is there."""
        self._has_joined = True
        self.reset()

    def reset(self) -> None:
        """Start anew: somebody wants to connect now."""
        self._spent, self._interval, self._lost_at = 0.0, INITIAL, None

    def delay(self, now: float) -> float | None:
        """Return the seconds to wait, or None to give up.

        Args:
            now: Seconds of a clock that only goes forward.
        """
        if not self._has_joined:
            self._spent += FIRST_DELAY
            return FIRST_DELAY if self._spent <= FIRST_BUDGET else None
        if self._lost_at is None:
            self._lost_at = now
        if self._partition is not None and now - self._lost_at >= self._partition:
            return None
        delay = self._interval * (1 + JITTER * (2 * self._random() - 1))
        self._interval = min(self._interval * FACTOR, CAP)
        return min(delay, CAP)
