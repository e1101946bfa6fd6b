"""perf on processes that run, and what is made of what it recorded."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["flame_graph", "folded", "record", "recorded", "script"]

FREQUENCY: Final = 997
"""Samples a second and processor; no multiple of what timers do."""
_ATTACHED: Final = 0.5
"""Seconds until perf is attached to all threads."""
_PATIENCE: Final = 30


def record(pids: list[int], data: Path) -> list[str]:
    """Return the command that records processes until it is interrupted.

    By the clock, since a virtual machine seldom has counters; by frame pointers, since these cost
    nothing to follow.
    """
    listed = ",".join(map(str, pids))
    by = ("-e", "cpu-clock", "-F", str(FREQUENCY), "--call-graph", "fp")
    return ["perf", "record", *by, "-o", str(data), "-p", listed]


@contextlib.contextmanager
def recorded(pids: list[int], data: Path) -> Iterator[None]:
    """Record processes while the context lasts."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(record(pids, data), stdout=quiet, stderr=quiet)
    time.sleep(_ATTACHED)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(_PATIENCE)


def script(data: Path, pid: int, to: Path) -> None:
    """Write the samples of a process as the Firefox Profiler reads them."""
    with to.open("w") as file:
        command = ["perf", "script", "-i", str(data), "-F", "+pid", "--pid", str(pid)]
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)


def folded(samples: Path, programs: Path) -> str:
    """Return what `script` wrote as one line for each stack, with its weight.

    Args:
        samples: That file.
        programs: Where inferno's are.
    """
    command = [str(programs / "inferno-collapse-perf"), str(samples)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def flame_graph(stacks: str, to: Path, title: str, programs: Path) -> None:
    """Draw a flame graph of folded stacks into an SVG file."""
    command = [str(programs / "inferno-flamegraph"), "--title", title]
    drawn = subprocess.run(command, input=stacks, capture_output=True, text=True, check=True)
    to.write_text(drawn.stdout)
