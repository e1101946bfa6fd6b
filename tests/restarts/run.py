"""Replace a Client or a Gateway in mid-transfer, in three ways; write what came of it.

Each run: two machines in namespaces, the encrypted tunnel, curl and nginx. The verdict is SHA-256
of what arrived; the gap is the longest time in which nothing arrived from the signal or the request
on, looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
import signal
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.system.service_manager import ServiceManager  # noqa: E402 - the path comes first
from tests.system.two_machines import NAME, Role, TwoMachines  # noqa: E402

if TYPE_CHECKING:
    from types import TracebackType

RESULTS = ROOT / "docs" / "results" / "restarts.md"
SIZE = 32 * 2**20
RATE = 48
"""Megabits a second of the underlay, so that a transfer lasts long enough to be hit. Not curl's own
limit: that moves a burst, then pauses for up to 1.6 s, which hides what is looked for."""
LOOK = 0.02
PATIENCE = 120.0

Direction = Literal["up", "down"]
Way = Literal["kill", "sigterm", "upgrade"]
WAYS: Final[dict[Way, str]] = {
    "kill": "kill -9, then a start",
    "sigterm": "SIGTERM, then a start by the service manager",
    "upgrade": "`--take-over`",
}


@dataclass(frozen=True)
class Came:
    """What came of one run."""

    way: Way
    role: Role
    direction: Direction
    equal: bool
    gap: float


class Watch:
    """Looks at what arrives, beside whatever happens, and notes the longest pause; a context."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.gap = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        before, since = arrived(self._target), time.monotonic()
        while not self._is_over.wait(LOOK):
            now = time.monotonic()
            self.gap = max(self.gap, now - since)
            if (bytes_now := arrived(self._target)) != before:
                before, since = bytes_now, now


def arrived(path: Path) -> int:
    """Return the bytes that have arrived, wherever nginx keeps them meanwhile."""
    if path.exists():
        return path.stat().st_size
    parts = list(path.parents[2].glob("body/*"))
    return max((part.stat().st_size for part in parts if part.is_file()), default=0)


def replace(machines: TwoMachines, way: Way, role: Role) -> None:
    """Put another process in the place of one."""
    match way:
        case "kill":
            machines.end(role, signal.SIGKILL)
            machines.start_again(role)
        case "sigterm":
            machines.end(role)
            machines.start_again(role)
        case "upgrade":
            machines.upgrade(role)


def run(way: Way, role: Role, direction: Direction) -> Came:
    """Transfer, replace, and judge."""
    with TwoMachines() as machines, ServiceManager(machines.folder / "notify") as manager:
        machines.write_gateway(descriptor_store="always")
        machines.write_client(descriptor_store="always")
        if way == "sigterm":
            machines.manage(role, manager)
        machines.begin_both()
        digest = machines.payload(SIZE)
        source = machines.folder / "www" / "file"
        target = machines.folder / "www" / "upload" / "copy"
        if direction == "down":
            target = machines.folder / "copy"
            what = ("-o", str(target), f"http://{NAME}/file")
        else:
            what = ("-T", str(source), f"http://{NAME}/upload/copy")
        for host in (machines.client, machines.gateway):
            pace = ("tbf", "rate", f"{RATE}mbit", "burst", "32kb", "latency", "200ms")
            paced = machines.inside(host, "tc", "qdisc", "add", "dev", "wan", "root", *pace)
            assert paced.returncode == 0, paced.stderr
        curl = ("curl", "-sS", "--fail", "-m", str(PATIENCE), *what)
        process = machines.start("curl", machines.client, *curl)
        machines.wait(lambda: arrived(target) > SIZE // 8, "the transfer")
        with Watch(target) as watch:
            replace(machines, way, role)
            code = process.wait(PATIENCE + 20)
        equal = code == 0 and _digest(target) == digest
        # The manager's copies of descriptors go before the hosts do.
        machines.end(role, signal.SIGKILL)
    return Came(way, role, direction, equal, watch.gap)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def report(runs: list[Came], load: float) -> str:
    """Write the page."""
    day = dt.datetime.now(dt.UTC).date()
    equal = sum(run.equal for run in runs)
    lines = [
        "# Restarts in mid-transfer",
        "",
        f"Written by `make restarts` on {day}: {SIZE >> 20} MiB through a DNS resource, two",
        f"machines in namespaces, the encrypted tunnel, an underlay of {RATE} Mbit/s. The gap is",
        "the longest time in which nothing arrived; it begins with the signal or the request and",
        f"holds the time that the new process takes to start: {os.cpu_count()} cores, a mean load",
        f"of {load:.1f} meanwhile. The service manager is the test: it keeps descriptors and gives",
        "them to the next process as systemd does.",
        "",
        "| how it is replaced | which | direction | runs | SHA-256 equal | gap: median, longest |",
        "|---|---|---|---|---|---|",
    ]
    for way, words in WAYS.items():
        for role in ("client", "gateway"):
            for direction in ("up", "down"):
                kind = (way, role, direction)
                own = [run for run in runs if (run.way, run.role, run.direction) == kind]
                if not own:
                    continue
                gaps = [run.gap for run in own]
                cells = (
                    words,
                    role.capitalize(),
                    direction,
                    str(len(own)),
                    str(sum(run.equal for run in own)),
                    f"{statistics.median(gaps):.2f} s, {max(gaps):.2f} s",
                )
                lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{equal} of {len(runs)} transfers arrived whole."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="runs of each kind")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="how")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runs: list[Came] = []
    loads: list[float] = []
    for _ in range(given.runs):
        for way in given.ways:
            for role in ("client", "gateway"):
                for direction in ("up", "down"):
                    came = run(way, role, direction)
                    sys.stdout.write(f"{came}\n")
                    sys.stdout.flush()
                    runs.append(came)
                    loads.append(os.getloadavg()[0])
    RESULTS.write_text(report(runs, statistics.fmean(loads)))
    return int(not all(run.equal for run in runs))


if __name__ == "__main__":
    sys.exit(main())
