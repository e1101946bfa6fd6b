"""Profile firezone under load: perf's samples, flame graphs, and where the time went.

A Client and a Gateway of the release wheel in network namespaces, iperf3 through them, and perf on
both processes meanwhile. Needs root: `make profile`. docs/guides/profiling.md tells the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from benches.macro import iperf
from benches.macro.carriers import Carrier
from benches.macro.subjects import OURS, VARIANTS, Subject
from benches.macro.topology import require
from tests import results

from .recording import flame_graph, folded, recorded, script
from .shares import Shares

if TYPE_CHECKING:
    import argparse

MOST: Final = 12
"""Functions that are told of each process."""
PROGRAMS: Final = ("ip", "iperf3", "nft", "dnsmasq", "dig", "perf")

Direction = Literal["up", "down"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("up", "down")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = results.options(__doc__ or "", "")
    parser.set_defaults(results=results.ROOT / "target" / "profile")
    parser.add_argument("--tools", type=Path, required=True, help="folder of inferno's programs")
    parser.add_argument("--seconds", type=float, default=10, help="of load in each direction")
    parser.add_argument("--streams", type=int, default=1, help="TCP streams")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default=OURS, help="of ours")
    parser.add_argument("--way", choices=("cidr", "dns"), default="cidr", help="kind of resource")
    return parser.parse_args()


def profile(carrier: Carrier, direction: Direction, given: argparse.Namespace) -> None:
    """Load one direction, record both processes, write what was seen."""
    folder: Path = given.results
    data = folder / f"{direction}.data"
    command = iperf.tcp(carrier.target(given.way), direction, given.streams, given.seconds, 0)
    inside = carrier.row.application.command(*command)
    with recorded(list(carrier.ends.values()), data):
        said = subprocess.run(inside, capture_output=True, text=True, check=False).stdout
    results.say(f"{direction}: {iperf.read_tcp(json.loads(said)).gbps:.2f} Gb/s")
    for role, pid in carrier.ends.items():
        name = f"{direction}-{role}"
        samples = folder / f"{name}.perf"
        script(data, pid, samples)
        stacks = folded(samples, given.tools)
        flame_graph(stacks, folder / f"{name}.svg", f"firezone {role}, {direction}", given.tools)
        results.say("\n".join((f"{name}, shares of its time:", *Shares.of(stacks, MOST).lines())))


def main() -> int:
    """Profile both directions."""
    given = options()
    results.begin()
    require(*PROGRAMS)
    given.results.mkdir(parents=True, exist_ok=True)
    carrier = Carrier(Subject(OURS, "ours", variant=VARIANTS[given.variant]), "p", Path())
    with carrier.row:
        carrier.begin()
        for direction in DIRECTIONS:
            profile(carrier, direction, given)
    written = ", ".join(sorted(path.name for path in given.results.glob("*.[sp]*")))
    results.say(f"in {os.path.relpath(given.results)}: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
