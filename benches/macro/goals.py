"""What is to be reached, as ratios of one run, and whether it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .subjects import OURS, RING, VECTORED, VETH
from .summary import Figure, figure_of, ratio_of

if TYPE_CHECKING:
    from .summary import Figures

__all__ = ["GOALS", "Goal", "Judged", "judge"]

BEST: Final = "best peer"
ROUNDING: Final = 1e-9
"""What rounding may do to a bound."""


@dataclass(frozen=True)
class Goal:
    """A bound on a ratio, or on a value where there is no reference.

    Args:
        text: What it is about.
        profile: Of which wire.
        metric: Of ours.
        value: Which of its values.
        at_least: The bound from below; else `at_most` counts.
        at_most: The bound from above.
        reference: A subject, the best peer, or nothing.
        compared: The reference's metric, if it is another one.
        subject: Which of ours; firezone itself where that variant was not measured.
    """

    text: str
    profile: str
    metric: str
    value: str
    at_least: float | None = None
    at_most: float | None = None
    reference: str | None = BEST
    compared: str | None = None
    subject: str = OURS

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        if self.at_least is not None:
            return value >= self.at_least - ROUNDING
        return self.at_most is not None and value <= self.at_most + ROUNDING

    @property
    def bound(self) -> str:
        """The bound, for people."""
        times = "x" if self.reference is not None else ""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}{times}"
        return f"≤ {self.at_most:g}{times}"


@dataclass(frozen=True)
class Judged:
    """A goal with what came of it.

    Args:
        goal: The goal.
        subject: Which of ours was judged.
        reference: Against whom.
        figure: The ratio, or the value; None if it was not measured.
    """

    goal: Goal
    subject: str
    reference: str
    figure: Figure | None

    @property
    def is_met(self) -> bool | None:
        """Whether it is; None if nobody knows."""
        return None if self.figure is None else self.goal.holds(self.figure.median)


GOALS: Final = (
    Goal("TCP one stream, ring", "V", "tcp1", "gbps", at_least=1.8, subject=RING),
    Goal("TCP one stream, vectored AEAD", "V", "tcp1", "gbps", at_least=2.3, subject=VECTORED),
    Goal("TCP one stream", "N", "tcp1", "gbps", at_least=3.4),
    Goal("TCP eight streams", "V", "tcp8", "gbps", at_least=2.0),
    Goal("CPU per GB, ring", "V", "tcp1", "cpu_s_per_gb", at_most=0.53, subject=RING),
    Goal("CPU per GB, vectored AEAD", "V", "tcp1", "cpu_s_per_gb", at_most=0.42,
         subject=VECTORED),
    Goal("CPU per GB", "N", "tcp1", "cpu_s_per_gb", at_most=0.29),
    Goal("idle RTT p50", "V", "idle", "rtt_p50_ms", at_most=0.45, reference="wireguard-go"),
    Goal("idle RTT p50", "V", "idle", "rtt_p50_ms", at_most=0.8, reference="boringtun"),
    Goal("RTT p50 under upload", "V", "tcp1-up", "rtt_p50_ms", at_most=0.2),
    Goal("RTT p99 under upload", "V", "tcp1-up", "rtt_p99_ms", at_most=0.3),
    Goal("UDP at 600 Mb/s, share lost beyond the bare veth's", "V", "udp-600", "lost_share",
         at_most=0.0, reference=None),
    Goal("DNS resource, up", "V", "dns1-up", "gbps", at_least=0.95, reference=OURS,
         compared="tcp1-up"),
    Goal("DNS resource, down", "V", "dns1-down", "gbps", at_least=0.95, reference=OURS,
         compared="tcp1-down"),
    Goal("1,000 queries/s, up", "V", "query1-up", "gbps", at_least=0.97, reference=OURS,
         compared="dns1-up"),
    Goal("1,000 queries/s, down", "V", "query1-down", "gbps", at_least=0.97, reference=OURS,
         compared="dns1-down"),
    Goal("system calls per packet, up", "V", "calls-up", "calls_per_packet_perf", at_most=0.13,
         reference=None),
    Goal("system calls per packet, down", "V", "calls-down", "calls_per_packet_perf", at_most=0.13,
         reference=None),
    Goal("late inner packets at half of the ceiling", "V", "capture-half", "late", at_most=0,
         reference=None),
    Goal("missing inner packets at half of the ceiling", "V", "capture-half", "missing", at_most=0,
         reference=None),
)  # fmt: skip


def judge(figures: Figures, best: dict[str, str | None], *, vectored: bool = True) -> list[Judged]:
    """Hold all goals.

    Args:
        figures: What was measured.
        best: The best peer of each profile.
        vectored: Whether this processor has what the vectored AEAD needs.
    """
    return [
        Judged(goal, VECTORED, "no AVX-512 here", None)
        if goal.subject == VECTORED and not vectored
        else _judged(goal, figures, best)
        for goal in GOALS
    ]


def _judged(goal: Goal, figures: Figures, best: dict[str, str | None]) -> Judged:
    subject = goal.subject if goal.subject in figures.subjects else OURS
    ours = figures.rounds(goal.profile, subject, goal.metric, goal.value)
    if goal.value == "lost_share":
        veth = figures.rounds(goal.profile, VETH, goal.metric, goal.value)
        beyond = Figure.of(ours[number] - veth[number] for number in ours if number in veth)
        return Judged(goal, subject, VETH, beyond)
    if goal.reference is None:
        figure = figure_of(figures, goal.profile, subject, goal.metric, goal.value)
        return Judged(goal, subject, "", figure)
    name = goal.reference if goal.reference != BEST else best.get(goal.profile)
    if name is None:
        return Judged(goal, subject, goal.reference, None)
    compared = goal.compared or goal.metric
    reference = figures.rounds(goal.profile, name, compared, goal.value)
    told = f"{name}, {compared}" if goal.compared else name
    return Judged(goal, subject, told, ratio_of(ours, reference))
