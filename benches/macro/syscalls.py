"""System calls of processes that live, counted in two ways.

By a tracepoint of the kernel, which hardly slows what it counts; and by strace, which slows it so
much that batches grow, but works where there are no tracepoints.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COUNTERS", "Counted", "Counter", "read_perf", "read_strace"]

_ATTACHED: Final = 0.5
"""Seconds until a counter is attached to all threads."""
_PATIENCE: Final = 20


class Counted:
    """What a counter saw, once it ended."""

    def __init__(self, counter: Counter, output: Path) -> None:
        self._counter, self._output = counter, output

    def calls(self) -> int:
        """Return the number of system calls."""
        return self._counter.read(self._output.read_text())


class Counter:
    """A way to count.

    Args:
        name: Of the program.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, pids: list[int], output: Path) -> list[str]:
        """Return what counts until it is interrupted."""
        if self.name == "perf":
            listed = ",".join(map(str, pids))
            options = ("-x", ",", "-e", "raw_syscalls:sys_enter", "-o", str(output), "-p", listed)
            return ["perf", "stat", *options]
        attached = [word for pid in pids for word in ("-p", str(pid))]
        return ["strace", "-c", "-f", "-qq", "-o", str(output), *attached]

    def read(self, text: str) -> int:
        """Read its output."""
        return read_perf(text) if self.name == "perf" else read_strace(text)

    @contextlib.contextmanager
    def count(self, pids: list[int], folder: Path) -> Iterator[Counted]:
        """Count while the context lasts."""
        output = folder / f"{self.name}.txt"
        process = subprocess.Popen(self.command(pids, output), stderr=subprocess.DEVNULL)
        time.sleep(_ATTACHED)
        try:
            yield Counted(self, output)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_PATIENCE)


COUNTERS: Final = (Counter("perf"), Counter("strace"))


def read_perf(text: str) -> int:
    """Read `perf stat -x ,`.

    Raises:
        ValueError: It counted nothing.
    """
    for line in text.splitlines():
        if "raw_syscalls:sys_enter" in line:
            return int(line.split(",")[0])
    raise ValueError("perf counted no system calls: is tracefs mounted?")


def read_strace(text: str) -> int:
    """Read the last line of `strace -c`.

    Raises:
        ValueError: There is none.
    """
    found = re.search(r"^100\.00\s+[\d.]+\s+(?:[\d.]+\s+)?(\d+)\s.*total$", text, re.MULTILINE)
    if found is None:
        raise ValueError("strace counted no system calls")
    return int(found[1])
