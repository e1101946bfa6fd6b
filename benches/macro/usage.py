"""What processes and the machine used between two looks at /proc."""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Machine", "Usage", "own_cpu", "parse_stat", "parse_status"]

TICK = os.sysconf("SC_CLK_TCK")
_KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of the flags in /proc/PID/stat."""
_MERGED = 8
"""Columns of /proc/stat that add up to all time; guests are in `user` already."""


@dataclass(frozen=True)
class Usage:
    """Of some processes, since they began.

    Args:
        cpu: Seconds, user and system.
        switches: Context switches of all threads, voluntary or not.
    """

    cpu: float
    switches: int

    @classmethod
    def of(cls, pids: Iterable[int]) -> Usage:
        """Look at processes that live."""
        cpu, switches = 0.0, 0
        for pid in pids:
            folder = Path("/proc", str(pid))
            cpu += parse_stat((folder / "stat").read_text())[0]
            for thread in (folder / "task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    switches += parse_status((thread / "status").read_text())
        return cls(cpu, switches)

    def since(self, before: Usage) -> Usage:
        """Return what was used between the two."""
        return Usage(self.cpu - before.cpu, self.switches - before.switches)


@dataclass(frozen=True)
class Machine:
    """Of the whole machine, in seconds of processors since it was started.

    Args:
        total: All time, idle too.
        busy: Neither idle nor given to other guests.
        softirq: In soft interrupts.
        stolen: What the host gave to other guests.
        kernel: Of kernel threads.
    """

    total: float
    busy: float
    softirq: float
    stolen: float
    kernel: float

    @classmethod
    def now(cls) -> Machine:
        """Look at the machine."""
        first = Path("/proc/stat").read_text().splitlines()[0]
        return cls.parse(first, kernel_threads())

    @classmethod
    def parse(cls, line: str, kernel: float) -> Machine:
        """Read the line `cpu` of /proc/stat."""
        columns = [int(word) / TICK for word in line.split()[1 : 1 + _MERGED]]
        idle, softirq, stolen = columns[3] + columns[4], columns[6], columns[7]
        total = sum(columns)
        return cls(total, total - idle - stolen, softirq, stolen, kernel)

    def since(self, before: Machine) -> Machine:
        """Return what was used between the two."""
        return Machine(
            self.total - before.total, self.busy - before.busy, self.softirq - before.softirq,
            self.stolen - before.stolen, self.kernel - before.kernel,
        )  # fmt: skip

    def others(self, ours: float) -> float:
        """Return the share of the processors that was neither ours nor idle.

        Args:
            ours: Seconds that our own processes used.
        """
        foreign = max(0.0, self.busy - self.kernel - ours) + self.stolen
        # What is counted by ticks and what is counted exactly do not quite add up.
        return min(1.0, foreign / self.total) if self.total else 0.0


def own_cpu(pids: Iterable[int]) -> float:
    """Return seconds of this process, of its children that ended, and of some that live."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Usage.of(pids).cpu + sum(part.ru_utime + part.ru_stime for part in used)


def parse_stat(text: str) -> tuple[float, bool]:
    """Read /proc/PID/stat: seconds of user and system time, and whether it is a kernel thread."""
    # The program's name may contain blanks and brackets; what follows the last one does not.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK, bool(int(fields[6]) & _KERNEL_THREAD)


def parse_status(text: str) -> int:
    """Read /proc/PID/status: context switches, voluntary or not."""
    return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches:" in line)


def kernel_threads() -> float:
    """Return seconds of all kernel threads."""
    used = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                seconds, is_kernel = parse_stat((entry / "stat").read_text())
                used += seconds if is_kernel else 0.0
    return used
