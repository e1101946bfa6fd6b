"""The order of samples: subjects take turns, A B B A, so that what drifts meets all alike."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests import results

from firezone.errors import FirezoneError

from .quiet import Quiet, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .carriers import Carrier
    from .metrics import Length, Metric

__all__ = ["Rounds", "in_turns"]


class Rounds:
    """Takes samples.

    Args:
        carriers: What runs; it may become less.
        quiet: What keeps others out of them.
        length: How long they take.
    """

    def __init__(self, carriers: list[Carrier], quiet: Quiet, length: Length) -> None:
        self.carriers = carriers
        self._quiet, self._length = quiet, length
        self.samples: list[Sample] = []

    def run(self, profile: str, metrics: Sequence[Metric], rounds: int) -> None:
        """Take all samples of a profile."""
        if profile == "N":
            for carrier in self.carriers:
                carrier.row.stop_segmenting()
        for number in range(rounds):
            for metric in metrics:
                if not metric.once:
                    self._all(profile, number, metric)
        for metric in metrics:
            if metric.once:
                self._all(profile, 0, metric)

    def _all(self, profile: str, number: int, metric: Metric) -> None:
        measured = [c for c in self.carriers if metric.fits(c.subject, profile)]
        for carrier in in_turns(measured, number):
            sample = Sample(profile, number, carrier.subject.name, metric.name, {})
            length = replace(self._length, ceiling=self._ceiling(carrier))
            taken = self.take(sample, metric, carrier, length)
            if taken is not None:
                self.samples.append(taken)

    def take(
        self, sample: Sample, metric: Metric, carrier: Carrier, length: Length
    ) -> Sample | None:
        """Take one sample, tell what came of it, and return it; None if it failed."""
        try:
            taken = self._quiet.take(sample, lambda: metric.take(carrier, length))
        except (ValueError, ZeroDivisionError, AssertionError, FirezoneError) as error:
            # One sample that failed is told of, and missing; the others go on.
            results.say(
                f"{sample.profile} {sample.round} {sample.metric} {sample.subject}: {error}"
            )
            return None
        results.say(_line(taken))
        return taken

    def _ceiling(self, carrier: Carrier) -> float:
        """Return the rate of one stream that was seen so far, in the same run."""
        rates = [
            sample.values["gbps"]
            for sample in self.samples
            if (sample.subject, sample.metric) == (carrier.subject.name, "tcp1-up")
        ]
        return statistics.median(rates) if rates else self._length.ceiling


def in_turns(carriers: Sequence[Any], number: int) -> list[Any]:
    """Return the order of a round: forwards, then backwards, and so on."""
    return list(carriers) if number % 2 == 0 else list(reversed(carriers))


def _line(sample: Sample) -> str:
    values = " ".join(f"{name}={value:.4g}" for name, value in sample.values.items())
    others = f"others {sample.before:.0%} before, {sample.during:.0%} during"
    return f"{sample.profile} {sample.round} {sample.metric} {sample.subject}: {values} ({others})"
