"""ping: its command line, and percentiles of what it saw."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["Latency", "percentile", "ping", "read"]

INTERVAL = 0.01
_TIME = re.compile(r"time=([\d.]+) ms")


@dataclass(frozen=True)
class Latency:
    """Round-trip times in milliseconds.

    Args:
        p50: The median.
        p99: What one in a hundred exceeds.
        answered: How many came back.
        lost: The share that did not.
    """

    p50: float
    p99: float
    answered: int
    lost: float


def ping(target: str, seconds: float) -> list[str]:
    """Return the command that sends an echo request every 10 ms for some seconds."""
    count = max(1, round(seconds / INTERVAL))
    # The last answers may take a while behind an upload.
    return ["ping", "-n", "-i", f"{INTERVAL:g}", "-c", str(count), "-W", "1", target]


def read(said: str, sent: int) -> Latency:
    """Read what ping said.

    Raises:
        ValueError: Nothing came back.
    """
    times = sorted(float(time) for time in _TIME.findall(said))
    if not times:
        raise ValueError("no echo was answered")
    return Latency(
        percentile(times, 0.5), percentile(times, 0.99), len(times), 1 - len(times) / sent
    )


def percentile(times: list[float], share: float) -> float:
    """Return the least value that at least this share does not exceed; `times` is sorted."""
    return times[max(0, math.ceil(share * len(times)) - 1)]
