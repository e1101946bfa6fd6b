"""Replace a Client or a Gateway in mid-transfer, in three ways; write what came of it.

Each run: two machines in namespaces, the encrypted tunnel, curl and nginx. The verdict is SHA-256
of what arrived; the gap is the longest time in which nothing arrived from the signal or the request
on, looked at every 20 ms.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from tests import results
from tests.system.service_manager import ServiceManager
from tests.system.transfers import arriving, sha256
from tests.system.two_machines import NAME, Role, TwoMachines

if TYPE_CHECKING:
    from pathlib import Path

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

    def __init__(self, machines: TwoMachines, target: Path) -> None:
        self._machines, self._target = machines, target
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.gap = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        before, since = arriving(self._machines, self._target), time.monotonic()
        while not self._is_over.wait(LOOK):
            now = time.monotonic()
            self.gap = max(self.gap, now - since)
            if (bytes_now := arriving(self._machines, self._target)) != before:
                before, since = bytes_now, now


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
        machines.wait(lambda: arriving(machines, target) > SIZE // 8, "the transfer")
        with Watch(machines, target) as watch:
            replace(machines, way, role)
            code = process.wait(PATIENCE + 20)
        equal = code == 0 and sha256(target) == digest
        # The manager's copies of descriptors go before the hosts do.
        machines.end(role, signal.SIGKILL)
    return Came(way, role, direction, equal, watch.gap)


def report(runs: list[Came], load: float) -> list[str]:
    """Write the page."""
    day = results.today()
    heads = ("how it is replaced", "which", "direction", "runs", "SHA-256 equal")
    kinds = dict.fromkeys((run.way, run.role, run.direction) for run in runs)
    return [
        "# Restarts in mid-transfer",
        "",
        f"Written by `make restarts` on {day}: {SIZE >> 20} MiB through a DNS resource, two",
        f"machines in namespaces, the encrypted tunnel, an underlay of {RATE} Mbit/s. The gap is",
        "the longest time in which nothing arrived; it begins with the signal or the request and",
        f"holds the time that the new process takes to start: {os.cpu_count()} cores, a mean load",
        f"of {load:.1f} meanwhile. The service manager is the test: it keeps descriptors and gives",
        "them to the next process as systemd does.",
        "",
        *results.table((*heads, "gap: median, longest"), (_row(runs, *kind) for kind in kinds)),
        "",
        f"{sum(run.equal for run in runs)} of {len(runs)} transfers arrived whole.",
    ]


def _row(runs: list[Came], way: Way, role: Role, direction: Direction) -> tuple[str, ...]:
    kind = (way, role, direction)
    own = [run for run in runs if (run.way, run.role, run.direction) == kind]
    gaps = [run.gap for run in own]
    return (
        WAYS[way],
        role.capitalize(),
        direction,
        str(len(own)),
        str(sum(run.equal for run in own)),
        f"{statistics.median(gaps):.2f} s, {max(gaps):.2f} s",
    )


def main() -> int:
    """Run all of them."""
    parser = results.options(__doc__, "restarts.md")
    parser.add_argument("--runs", type=int, default=10, help="runs of each kind")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="how")
    given = parser.parse_args()
    results.begin()
    runs: list[Came] = []
    loads: list[float] = []
    for _ in range(given.runs):
        for way in given.ways:
            for role in ("client", "gateway"):
                for direction in ("up", "down"):
                    came = run(way, role, direction)
                    results.say(came)
                    runs.append(came)
                    loads.append(os.getloadavg()[0])
    results.write(given.results, report(runs, statistics.fmean(loads)))
    return int(not all(run.equal for run in runs))


if __name__ == "__main__":
    sys.exit(main())
