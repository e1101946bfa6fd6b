"""The picture of a demo: rate over time, the queries as ticks, `keep` and `halt` to compare."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from .settings import DemoSettings, Policy
    from .verdict import PolicyRun

__all__ = ["draw", "require"]

_STEP: Final = 0.05
"""Seconds of a step of the curve."""
_TITLES: Final[dict[Policy, str]] = {
    "halt": "former policy (halt): each re-creation stops the flow",
    "keep": "this policy (keep): a re-creation never touches a working flow",
}
_COLOURS: Final[dict[Policy, str]] = {"halt": "#b2182b", "keep": "#2166ac"}
_MOST_TICKS: Final = 2000


def require() -> None:
    """Check that a plot can be drawn, before the run.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "a plot needs matplotlib", hint="install it: pip install 'firezone[plot]'"
        )


def draw(path: Path, settings: DemoSettings, runs: Mapping[Policy, PolicyRun]) -> None:
    """Draw the runs, `halt` above `keep`, into a PNG file.

    Raises:
        ConfigError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = [runs[policy] for policy in ("halt", "keep") if policy in runs]
    figure = Figure(figsize=(10, 0.9 + 2.4 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, run in zip(axes, shown, strict=True):
        _draw_run(axis, run)
    axes[-1].set_xlabel("seconds; ticks below the curve: DNS queries for the name")
    arrow = "upload" if settings.direction == "up" else "download"
    figure.suptitle(
        f"{arrow} through a DNS resource, {settings.queries_per_second:g} queries per second, "
        f"records: {settings.records}"
    )
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _draw_run(axis: Axes, run: PolicyRun) -> None:
    begin, end = run.watched
    per_step = max(1, round(_STEP / run.bucket))
    sums = [sum(run.rate[i : i + per_step]) for i in range(0, len(run.rate), per_step)]
    step = per_step * run.bucket
    # What fell silent before the end is shown as silence.
    sums += [0] * max(0, int((end - run.start) / step) - len(sums))
    times = [run.start + i * step - begin for i in range(len(sums))]
    axis.fill_between(
        times,
        [size * 8 / step / 1e6 for size in sums],
        step="post",
        color=_COLOURS[run.policy],
        alpha=0.8,
        linewidth=0,
    )
    thin = max(1, len(run.query_times) // _MOST_TICKS)
    ticks = [at - begin for at in run.query_times[::thin]]
    axis.vlines(
        ticks,
        -0.06,
        -0.01,
        transform=axis.get_xaxis_transform(),
        clip_on=False,
        color="#555555",
        linewidth=0.4,
    )
    axis.tick_params(axis="x", pad=8)
    axis.set_xlim(min(0.0, times[0] if times else 0.0), end - begin)
    axis.set_ylabel("Mbit/s")
    figures = run.figures
    axis.set_title(
        f"{_TITLES[run.policy]} - {figures.bytes / 1e6:.0f} MB, longest gap "
        f"{figures.longest_gap_ms:.0f} ms, {figures.lost} lost, {figures.held} held",
        fontsize=10,
        loc="left",
    )
