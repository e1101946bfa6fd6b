"""Measure the tunnel beside other WireGuard programs and beside the kernel alone; write the page.

Five network namespaces for each subject, all at once; samples of subjects take turns, and each
begins when the rest of the machine is quiet. Needs root and a release wheel: `make bench-macro`.
"""

from __future__ import annotations

import contextlib
import json
import string
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests import results

import firezone
from firezone.host.sysctl import Sysctl

from . import versions
from .bars import draw
from .carriers import Carrier
from .choice import choose
from .machine import describe
from .metrics import METRICS, Length
from .quiet import Quiet, Sample
from .report import report
from .rounds import Rounds
from .subjects import COPY, VETH, Subject, defaults, ours, peers
from .summary import Figures
from .topology import require

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from .metrics import Metric

ROUNDS: Final = 5
QUICK: Final = Length(tcp=3, many=2, omit=1, udp=2, idle=1)
CHOOSING: Final = Length(tcp=2, omit=1)
BUFFERS: Final = {"net/core/rmem_max": str(16 * 2**20), "net/core/wmem_max": str(16 * 2**20)}
"""What each program may ask for; the kernel's limits are those of small hosts."""
PROGRAMS: Final = ("ip", "ethtool", "iperf3", "ping", "wg", "nft", "dnsmasq")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = results.options(__doc__ or "", "macro.md")
    parser.add_argument("--tools", type=Path, help="folder of the peers' programs")
    parser.add_argument("--tun-copy", type=Path, help="the program that copies between devices")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured ({ROUNDS})")
    parser.add_argument("--only", default="", help="names of subjects, separated by commas")
    parser.add_argument("--metrics", default="", help="names of metrics, separated by commas")
    parser.add_argument("--profile", choices=("V", "N", "VN"), default="VN", help="which wire")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--seconds", type=float, help="of each sample of one stream")
    parser.add_argument("--before", type=float, default=0.05, help="share of others at a beginning")
    parser.add_argument("--during", type=float, default=0.10, help="share of others in a sample")
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait for quiet")
    parser.add_argument("--samples", type=Path, help="write the page of this JSON; measure nothing")
    return parser.parse_args()


def subjects(given: argparse.Namespace) -> list[Subject]:
    """Return what is to be measured, peers with all of their settings."""
    wanted = [name for name in given.only.split(",") if name]
    found = [Subject(VETH, "veth"), *ours(defaults())]
    if given.tun_copy:
        found.insert(1, Subject(COPY, "copy"))
    if given.tools:
        found += [way for ways in peers(given.tools).values() for way in ways]
    return [subject for subject in found if not wanted or subject.name in wanted]


def metrics(given: argparse.Namespace) -> list[Metric]:
    """Return what is to be measured of them."""
    wanted = [name for name in given.metrics.split(",") if name]
    return [metric for metric in METRICS if not wanted or metric.name in wanted]


@contextlib.contextmanager
def room_in_buffers() -> Iterator[None]:
    """Let every program have the socket buffers that it asks for."""
    kernel = Sysctl()
    before = {key: kernel.get(f"{key}") for key in BUFFERS}
    for key, value in BUFFERS.items():
        kernel.set(key, value)
    try:
        yield
    finally:
        for key, former in before.items():
            if former is not None:
                kernel.set(key, former)


@contextlib.contextmanager
def begun(wanted: list[Subject], tun_copy: Path) -> Iterator[list[Carrier]]:
    """Start everything; take it away, whatever happens."""
    carriers: list[Carrier] = []
    with contextlib.ExitStack() as stack:
        for mark, subject in zip(string.ascii_lowercase, wanted, strict=False):
            carrier = Carrier(subject, mark, tun_copy)
            stack.enter_context(carrier.row)
            carrier.begin()
            results.say(f"{subject.name} runs: {subject.command}")
            carriers.append(carrier)
        yield carriers


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Take all samples."""
    wanted_metrics = metrics(given)
    require(*PROGRAMS, *(program for metric in wanted_metrics for program in metric.needs))
    length = QUICK if given.quick else Length()
    if given.seconds:
        # The beginning that does not count is a whole number, as iperf3 wants it.
        part = given.seconds
        length = Length(part, part, min(2, part // 2), part, part)
    rounds = given.rounds or (1 if given.quick else ROUNDS)
    wanted = subjects(given)
    with room_in_buffers(), begun(wanted, given.tun_copy or Path()) as carriers:
        quiet = Quiet(
            lambda: [pid for carrier in carriers for pid in carrier.row.pids],
            before=given.before, during=given.during, patience=given.patience,
        )  # fmt: skip
        taken = Rounds(carriers, quiet, length)
        one_stream = [metric for metric in METRICS if metric.name.startswith("tcp1")]
        choice = choose(taken, one_stream, CHOOSING, min(rounds, 2))
        about = {
            "day": results.today(),
            "rounds": rounds,
            "profiles": list(given.profile),
            "during": given.during,
            "machine": describe(),
            "versions": versions.all_of(given.tools, firezone.__version__),
            "choice": choice,
            "commands": {c.subject.name: c.subject.command for c in carriers},
            "peers": [c.subject.name for c in carriers if c.subject.kind == "peer"],
            "offloads": {},
        }
        for profile in given.profile:
            taken.run(profile, wanted_metrics, rounds)
            about["offloads"][profile] = carriers[0].row.offloads()
    return {"about": about, "samples": [asdict(sample) for sample in taken.samples]}


def write(told: dict[str, Any], page: Path) -> None:
    """Write page and picture."""
    samples = [Sample(**row) for row in told["samples"]]
    figures = Figures(samples)
    results.write(page, report(figures, samples, told["about"]))
    draw(figures, page.with_suffix(".png"))


def main() -> int:
    """Measure, or write the page of what was measured."""
    given = options()
    if given.samples:
        write(json.loads(given.samples.read_text()), given.results)
        return 0
    results.begin()
    told = measure(given)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
    write(told, given.results)
    results.say(given.results.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
