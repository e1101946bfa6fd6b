"""Kill a Client or a Gateway in mid-transfer and start it again; write what came of it.

Each run: two machines in namespaces, the encrypted tunnel, curl and nginx. The verdict is SHA-256
of what arrived; the gap is the longest time in which nothing arrived, looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import signal
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.system.two_machines import NAME, Role, TwoMachines  # noqa: E402 - the path comes first

RESULTS = ROOT / "docs" / "results" / "restarts.md"
SIZE = 32 * 2**20
RATE = "6M"
"""Bytes a second that curl moves, so that a transfer lasts long enough to be hit."""
LOOK = 0.02
PATIENCE = 120.0

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Came:
    """What came of one run."""

    role: Role
    direction: Direction
    equal: bool
    gap: float


def arrived(path: Path) -> int:
    """Return the bytes that have arrived, wherever nginx keeps them meanwhile."""
    if path.exists():
        return path.stat().st_size
    parts = list(path.parents[2].glob("body/*"))
    return max((part.stat().st_size for part in parts if part.is_file()), default=0)


def run(role: Role, direction: Direction) -> Came:
    """Transfer, kill, start again, and judge."""
    with TwoMachines() as machines:
        machines.write_gateway()
        machines.write_client()
        machines.begin_both()
        digest = machines.payload(SIZE)
        source = machines.folder / "www" / "file"
        target = machines.folder / "www" / "upload" / "copy"
        if direction == "down":
            target = machines.folder / "copy"
            what = ("-o", str(target), f"http://{NAME}/file")
        else:
            what = ("-T", str(source), f"http://{NAME}/upload/copy")
        curl = ("curl", "-sS", "--fail", "-m", str(PATIENCE), "--limit-rate", RATE, *what)
        process = machines.start("curl", machines.client, *curl)
        machines.wait(lambda: arrived(target) > SIZE // 8, "the transfer")
        machines.end(role, signal.SIGKILL)
        machines.start_again(role)
        gap, before, since = 0.0, arrived(target), time.monotonic()
        while process.poll() is None:
            time.sleep(LOOK)
            now = time.monotonic()
            if (bytes_now := arrived(target)) != before:
                before, since = bytes_now, now
            gap = max(gap, now - since)
        equal = process.returncode == 0 and _digest(target) == digest
    return Came(role, direction, equal, gap)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def report(runs: list[Came]) -> str:
    """Write the page."""
    day = dt.datetime.now(dt.UTC).date()
    equal = sum(run.equal for run in runs)
    lines = [
        "# Restarts in mid-transfer",
        "",
        f"Written by `make restarts` on {day}: {SIZE >> 20} MiB at {RATE}B/s through a DNS",
        "resource, two machines in namespaces, the encrypted tunnel. The gap begins with the kill",
        "and holds the time that the new process takes to start, on a machine with two cores.",
        "",
        "| what is killed (SIGKILL) | direction | runs | SHA-256 equal | gap: median, longest |",
        "|---|---|---|---|---|",
    ]
    for role in ("client", "gateway"):
        for direction in ("up", "down"):
            own = [run for run in runs if (run.role, run.direction) == (role, direction)]
            gaps = [run.gap for run in own]
            cells = (
                role.capitalize(),
                direction,
                str(len(own)),
                str(sum(run.equal for run in own)),
                f"{statistics.median(gaps):.1f} s, {max(gaps):.1f} s",
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{equal} of {len(runs)} transfers arrived whole."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runs = []
    for _ in range(given.runs):
        for role in ("client", "gateway"):
            for direction in ("up", "down"):
                came = run(role, direction)
                sys.stdout.write(f"{came}\n")
                sys.stdout.flush()
                runs.append(came)
    RESULTS.write_text(report(runs))
    return int(not all(run.equal for run in runs))


if __name__ == "__main__":
    sys.exit(main())
