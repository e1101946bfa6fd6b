"""Medians, spreads and ratios of samples."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .quiet import Sample

__all__ = ["Figure", "Figures", "best_peer", "figure_of", "ratio_of"]

LOWER_OF: Final = {"tcp1": ("tcp1-up", "tcp1-down"), "tcp8": ("tcp8-up", "tcp8-down")}
"""Metrics that stand for the worse of two ways."""


@dataclass(frozen=True)
class Figure:
    """A median of rounds, and between what they lay."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure | None:
        """Sum rounds up; None without any."""
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1]) if known else None

    @property
    def spread(self) -> float:
        """How far apart the rounds lay, as a share of the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


class Figures:
    """Looks values up in samples.

    Args:
        samples: All of a run.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._values = {
            (s.profile, s.subject, s.metric, s.round, name): value
            for s in samples
            for name, value in s.values.items()
        }
        self._rounds = sorted({sample.round for sample in samples})
        self.subjects = list(dict.fromkeys(sample.subject for sample in samples))

    def rounds(self, profile: str, subject: str, metric: str, value: str) -> dict[int, float]:
        """Return a value of each round that has it.

        `tcp1` and `tcp8` are the worse of up and down: the lower rate, the higher cost.
        """
        metrics = LOWER_OF.get(metric, (metric,))
        worse = min if value == "gbps" else max
        found = {}
        for number in self._rounds:
            keys = [(profile, subject, name, number, value) for name in metrics]
            if all(key in self._values for key in keys):
                found[number] = worse(self._values[key] for key in keys)
        return found


def figure_of(
    figures: Figures, profile: str, subject: str, metric: str, value: str
) -> Figure | None:
    """Sum a value of a subject up."""
    return Figure.of(figures.rounds(profile, subject, metric, value).values())


def ratio_of(ours: dict[int, float], reference: dict[int, float]) -> Figure | None:
    """Sum up the ratios of rounds: each round is compared with itself."""
    return Figure.of(
        ours[number] / reference[number] for number in ours if reference.get(number, 0.0) > 0.0
    )


def best_peer(figures: Figures, profile: str, peers: Iterable[str]) -> str | None:
    """Return the peer whose one stream is fastest, the slower way counting."""
    rates = {
        name: figure.median
        for name in peers
        if (figure := figure_of(figures, profile, name, "tcp1", "gbps")) is not None
    }
    return max(rates, key=lambda name: rates[name]) if rates else None
