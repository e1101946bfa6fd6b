"""The pictures of a run: cost by number of flows and by batch, and how long single calls take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["draw"]


def draw(
    times: dict[str, dict[str, float]], distributions: list[dict[str, Any]], file: Path
) -> None:
    """Draw all three beside each other."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to load, and absent without the extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (flows, batches, pauses) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for name, label in (("hit_out", "one by one"), ("hit_out_ahead", "64 looked up ahead")):
        _curve(flows, times.get(name, {}), label)
    flows.set(xscale="log", xlabel="flows", ylabel="ns per packet", title="A hit, random flows")
    flows.set_ylim(bottom=0)
    flows.legend()
    _curve(batches, times.get("hit_out_by_batch", {}), "1M flows, random")
    batches.set_xscale("log", base=2)
    batches.set(xlabel="looked up at a time", ylabel="ns per packet", title="A hit, by batch")
    batches.set_ylim(bottom=0)
    batches.legend()
    for row in distributions:
        shares, nanos = zip(*row["points"], strict=True)
        rest = [max(1 - share, 1 / row["calls"]) for share in shares]
        label = f"{row['distribution']}: {row['who']}"
        pauses.plot(rest, [value / 1e3 for value in nanos], marker="o", label=label)
    pauses.set(xscale="log", yscale="log", xlabel="share of calls that take longer",
               ylabel="µs", title="Pauses, 1M flows")  # fmt: skip
    pauses.invert_xaxis()
    pauses.legend(fontsize="x-small")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _curve(axis: Any, cases: dict[str, float], label: str) -> None:
    points = sorted((int(case), nanos) for case, nanos in cases.items() if case.isdigit())
    if points:
        axis.plot(*zip(*points, strict=True), marker="o", label=label)
