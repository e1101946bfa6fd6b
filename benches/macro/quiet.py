"""A sample begins when the rest of the machine is quiet, and is taken anew if that did not last."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .usage import Machine, own_cpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Quiet", "Sample", "least_disturbed"]

TRIES = 3
_LOOK = 0.5
"""Seconds over which the machine is looked at before a sample."""


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Args:
        profile: V or N.
        round: Of which round.
        subject: What was measured.
        metric: How.
        values: What came of it, by name; the units are in the names.
        before: Share of the processors that others used when it began.
        during: The same while it ran.
        tries: How often it was taken.
    """

    profile: str
    round: int
    subject: str
    metric: str
    values: dict[str, float]
    before: float = 0.0
    during: float = 0.0
    tries: int = 1


class Quiet:
    """Watches what others do.

    Args:
        pids: Which processes are ours, now.
        before: Share of the processors that others may use when a sample begins.
        during: The same while it runs; else it is taken anew.
        patience: Seconds that are waited for the former.
    """

    def __init__(
        self, pids: Callable[[], Iterable[int]], *, before: float, during: float, patience: float
    ) -> None:
        self._pids = pids
        self._before, self._during, self._patience = before, during, patience

    def take(self, sample: Sample, measure: Callable[[], dict[str, float]]) -> Sample:
        """Measure, up to three times, and return what was disturbed least."""
        taken = []
        for tried in range(1, TRIES + 1):
            before = self._wait()
            machine, ours = Machine.now(), own_cpu(self._pids())
            values = measure()
            during = Machine.now().since(machine).others(own_cpu(self._pids()) - ours)
            taken.append(replace(sample, values=values, before=before, during=during, tries=tried))
            if during <= self._during:
                break
        return least_disturbed(taken)

    def _wait(self) -> float:
        give_up = time.monotonic() + self._patience
        while True:
            machine, ours = Machine.now(), own_cpu(self._pids())
            time.sleep(_LOOK)
            share = Machine.now().since(machine).others(own_cpu(self._pids()) - ours)
            if share <= self._before or time.monotonic() > give_up:
                return share


def least_disturbed(taken: list[Sample]) -> Sample:
    """Return the try during which others did least, with the number of all of them."""
    best = min(taken, key=lambda sample: sample.during)
    return replace(best, tries=len(taken))
