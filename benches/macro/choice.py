"""Which of its settings a peer is measured with: the one with which it is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .quiet import Sample
from .rounds import in_turns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .metrics import Length, Metric
    from .rounds import Rounds

__all__ = ["better", "choose", "lowest"]


def choose(
    rounds: Rounds, metrics: Sequence[Metric], length: Length, times: int
) -> dict[str, dict[str, float]]:
    """End the worse setting of each peer; return the Gb/s of each.

    Args:
        rounds: What runs, and takes samples.
        metrics: One stream, up and down.
        length: How long.
        times: How often each way.
    """
    peers = {
        (carrier.subject.name, carrier.subject.setting.name): carrier
        for carrier in rounds.carriers
        if carrier.subject.setting is not None
    }
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in peers}
    for number in range(times):
        for metric in metrics:
            for key in in_turns(list(peers), number):
                sample = Sample("V", number, key[0], metric.name, {})
                taken = rounds.take(sample, metric, peers[key], length)
                # What fails once with a setting is not its better one.
                rates[key].append(0.0 if taken is None else taken.values["gbps"])
    found = lowest(rates)
    for (name, setting), carrier in peers.items():
        if better(found[name]) != setting:
            rounds.carriers.remove(carrier)
            carrier.end()
    return found


def lowest(rates: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return the lowest rate of each setting, by peer."""
    found: dict[str, dict[str, float]] = {}
    for (name, setting), seen in rates.items():
        found.setdefault(name, {})[setting] = min(seen)
    return found


def better(ways: Mapping[str, float]) -> str:
    """Return the setting that counts."""
    return max(ways, key=lambda name: ways[name])
