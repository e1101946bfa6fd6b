"""Carry a large file through the tunnel in every way that there is; write what came of it.

Both directions, through a name and through a network, IPv4 and IPv6 inside and as underlay. Two
machines in namespaces, two processes, two files; curl and nginx; the verdict is SHA-256.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.system.transfers import MIB, fetch, send  # noqa: E402 - the path comes first
from tests.system.two_machines import NAME, SITE, UNDERLAY, TwoMachines  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "transfers.md"
PATIENCE = 600
"""Seconds that one file may take."""

Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (4, 6)


@dataclass(frozen=True)
class Came:
    """What came of one transfer."""

    underlay: Family
    inner: Family
    kind: Literal["name", "network"]
    direction: Literal["down", "up"]
    equal: bool
    seconds: float
    busy: float
    fault: str = ""


def run(machines: TwoMachines, way: Came, digest: str) -> Came:
    """Carry the file one way."""
    address = SITE[way.inner == 6]
    network = f"[{address}]" if way.inner == 6 else address
    url = f"http://{NAME if way.kind == 'name' else network}"
    began = time.monotonic()
    arrived, fault = "", ""
    try:
        if way.direction == "down":
            arrived = fetch(machines, f"{url}/file", f"-{way.inner}", patience=PATIENCE)
        else:
            arrived = send(machines, url, f"-{way.inner}", patience=PATIENCE)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        fault = str(error).splitlines()[0]
    seconds = time.monotonic() - began
    busy = os.getloadavg()[0]
    return replace(way, equal=arrived == digest, seconds=seconds, busy=busy, fault=fault)


def ways(underlay: Family) -> list[Came]:
    """List the transfers over one underlay, before any of them."""
    kinds: tuple[Literal["name", "network"], ...] = ("name", "network")
    directions: tuple[Literal["down", "up"], ...] = ("down", "up")
    product = itertools.product(FAMILIES, kinds, directions)
    return [Came(underlay, *way, equal=False, seconds=0, busy=0) for way in product]


def over(underlay: Family, size: int) -> list[Came]:
    """Carry the file all ways over one underlay."""
    host = UNDERLAY["gateway"][underlay == 6]
    with TwoMachines() as machines:
        machines.write_gateway()
        machines.write_client(f"[{host}]:52625" if underlay == 6 else f"{host}:52625")
        machines.begin_both()
        digest = machines.payload(size * MIB)
        runs = []
        for way in ways(underlay):
            runs.append(run(machines, way, digest))
            sys.stdout.write(f"{runs[-1]}\n")
            sys.stdout.flush()
        peer = machines.call("client", "status")["peers"][0]
        through = peer["received_bytes"] + peer["sent_bytes"]
        if through < len(runs) * size * MIB:
            sys.exit(f"{through} bytes went through the tunnel: not all of the files did")
    return runs


def report(runs: list[Came], size: int) -> str:
    """Write the page."""
    day = dt.datetime.now(dt.UTC).date()
    lines = [
        "# Large files through the tunnel",
        "",
        f"Written by `make transfers` on {day}: {size} MiB each, by curl and nginx between two",
        f"machines in namespaces of one host with {os.cpu_count()} cores, through `firezone client",
        "up` and `firezone gateway run` as they come from the wheel of the tests. The cores are",
        "shared by both ends, both kernels, curl, nginx and SHA-256, so the rates are what this",
        "host did, with the SHA-256 of what arrived in the time of each, and not a benchmark.",
        "*load* is the load average of one minute at the end of each: it tells what else the host",
        "did.",
        "",
        "| underlay | inside | through a | direction | SHA-256 equal | seconds | MiB/s | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for came in runs:
        cells = (
            f"IPv{came.underlay}",
            f"IPv{came.inner}",
            came.kind,
            came.direction,
            ("yes" if came.equal else "**no**") + (f" ({came.fault})" if came.fault else ""),
            f"{came.seconds:.1f}",
            f"{size / came.seconds:.0f}",
            f"{came.busy:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{sum(came.equal for came in runs)} of {len(runs)} arrived whole."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB of each file")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the page goes")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0:
        sys.stderr.write("needs root: it makes network namespaces\n")
        return 6
    runs = [came for underlay in FAMILIES for came in over(underlay, given.size)]
    given.results.write_text(report(runs, given.size))
    return int(not all(came.equal for came in runs))


if __name__ == "__main__":
    sys.exit(main())
