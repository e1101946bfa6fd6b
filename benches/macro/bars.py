"""The picture of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt

from .summary import figure_of

if TYPE_CHECKING:
    from pathlib import Path

    from .summary import Figures

__all__ = ["draw"]

PANELS: Final = (
    ("V: one stream, Gb/s", "V", (("up", "tcp1-up"), ("down", "tcp1-down")), "gbps"),
    ("N: one stream, Gb/s", "N", (("up", "tcp1-up"), ("down", "tcp1-down")), "gbps"),
    ("V: eight streams, Gb/s", "V", (("up", "tcp8-up"), ("down", "tcp8-down")), "gbps"),
    ("V: CPU of both ends, s/GB", "V", (("up", "tcp1-up"), ("down", "tcp1-down")), "cpu_s_per_gb"),
    ("V: RTT p50, ms", "V", (("idle", "idle"), ("under upload", "tcp1-up")), "rtt_p50_ms"),
    ("V: UDP lost, share", "V", (("200 Mb/s", "udp-200"), ("600 Mb/s", "udp-600")), "lost_share"),
)
_WIDTH: Final = 0.38

# Without a display. Loaded here, so that its absence is noticed before anything is measured.
mpl.use("Agg")


def draw(figures: Figures, file: Path) -> None:
    """Draw bars with the spread of the rounds."""
    figure, axes = plt.subplots(3, 2, figsize=(11, 11), layout="constrained")
    for axis, (title, profile, bars, value) in zip(axes.flat, PANELS, strict=True):
        _panel(axis, figures, profile, bars, value)
        axis.set_title(title)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _panel(
    axis: Any, figures: Figures, profile: str, bars: tuple[tuple[str, str], ...], value: str
) -> None:
    subjects = [
        name
        for name in figures.subjects
        if any(figure_of(figures, profile, name, metric, value) for _, metric in bars)
    ]
    for offset, (label, metric) in enumerate(bars):
        for place, name in enumerate(subjects):
            figure = figure_of(figures, profile, name, metric, value)
            if figure is None:
                continue
            error = [[figure.median - figure.least], [figure.most - figure.median]]
            axis.barh(
                place + (offset - 0.5) * _WIDTH, figure.median, _WIDTH, xerr=error,
                color=f"C{offset}", label=label if not place else None, capsize=2,
            )  # fmt: skip
    axis.set_yticks(range(len(subjects)), subjects)
    axis.invert_yaxis()
    if value == "rtt_p50_ms":
        axis.set_xscale("log")
    if subjects:
        axis.legend(fontsize="small")
