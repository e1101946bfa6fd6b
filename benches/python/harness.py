"""How the Python benchmarks measure: ours, a peer, the peer, ours, with rounds that are fixed.

A test makes one side of one row of the page. `lines.python` puts the sides together: of both turns
of a side the least time of a round counts.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 60
WARMUP: Final = 5
TURNS: Final = ("ours", "peer", "peer", "ours")


@dataclass(frozen=True)
class Row:
    """A row of the page."""

    what: str
    case: str
    peer: str
    goal: float = 0.0
    """How many times less than the peer ours should take; below 1, how much more it may."""


@dataclass(frozen=True)
class Measure:
    """One side of a row, in one of its two turns."""

    benchmark: Any
    side: str

    def __call__(
        self,
        row: Row,
        units: int,
        *,
        ours: Callable[[], object],
        peer: Callable[[], object],
    ) -> None:
        """Time a side; each call of it does so many units of work."""
        self._note(row, units)
        target = ours if self.side == "ours" else peer
        self.benchmark.pedantic(target, rounds=ROUNDS, warmup_rounds=WARMUP, iterations=1)

    def core(
        self,
        row: Row,
        units: int,
        *,
        python: Callable[[], object],
        words: tuple[str, ...],
        is_ours: bool = False,
    ) -> None:
        """Time Python's side, and let the core alone time the other.

        Args:
            row: The row.
            units: Packets or queries of a call.
            python: The side of Python.
            words: What the program `beside` is told.
            is_ours: The core is ours, and Python's side is the peer.
        """  # fmt: skip
        self._note(row, units)
        if (self.side == "ours") != is_ours:
            self.benchmark.pedantic(python, rounds=ROUNDS, warmup_rounds=WARMUP, iterations=1)
            return
        program = os.environ.get("BESIDE")
        if program is None:
            pytest.skip("BESIDE does not name the program of benches/core")

        def run() -> None:
            told = subprocess.run([program, *words], capture_output=True, check=True).stdout
            self.benchmark.extra_info["nanos"] = float(told)

        self.benchmark.pedantic(run, rounds=1, iterations=1)

    def _note(self, row: Row, units: int) -> None:
        self.benchmark.extra_info.update(
            what=row.what, case=row.case, peer=row.peer, goal=row.goal, side=self.side, units=units
        )
