"""Carry a large file through the tunnel in every way that there is; write what came of it.

Both directions, through a name and through a network, IPv4 and IPv6 inside and as underlay. Two
machines in namespaces, two processes, two files; curl and nginx; the verdict is SHA-256.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Literal

from tests import results
from tests.system.transfers import MIB, fetch, send
from tests.system.two_machines import NAME, SITE, UNDERLAY, TwoMachines

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
            results.say(runs[-1])
        peer = machines.call("client", "status")["peers"][0]
        through = peer["received_bytes"] + peer["sent_bytes"]
        if through < len(runs) * size * MIB:
            sys.exit(f"{through} bytes went through the tunnel: not all of the files did")
    return runs


def report(runs: list[Came], size: int) -> list[str]:
    """Write the page."""
    day = results.today()
    heads = ("underlay", "inside", "through a", "direction", "SHA-256 equal", "seconds", "MiB/s")
    rows = [
        (
            f"IPv{came.underlay}",
            f"IPv{came.inner}",
            came.kind,
            came.direction,
            ("yes" if came.equal else "**no**") + (f" ({came.fault})" if came.fault else ""),
            f"{came.seconds:.1f}",
            f"{size / came.seconds:.0f}",
            f"{came.busy:.0f}",
        )
        for came in runs
    ]
    return [
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
        *results.table((*heads, "load"), rows),
        "",
        f"{sum(came.equal for came in runs)} of {len(runs)} arrived whole.",
    ]


def main() -> int:
    """Run all of them."""
    parser = results.options(__doc__, "transfers.md")
    parser.add_argument("--size", type=int, default=1024, help="MiB of each file")
    given = parser.parse_args()
    results.begin()
    runs = [came for underlay in FAMILIES for came in over(underlay, given.size)]
    results.write(given.results, report(runs, given.size))
    return int(not all(came.equal for came in runs))


if __name__ == "__main__":
    sys.exit(main())
