"""Let things be silent, stopped, killed or at another time, for long; write what came of it.

Each case is two machines in namespaces and a process of its own, and they run side by side: nearly
all of it is waiting.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.silences import cases  # noqa: E402 - the path comes first

RESULTS = ROOT / "docs" / "results" / "silences.md"

Case = Callable[[], tuple[bool, str]]

CASES: dict[str, tuple[str, Case]] = {
    "udp": ("answered UDP, silent for 200 s", cases.answered_udp),
    "underlay-down": ("underlay down for 30 s in a download", lambda: cases.underlay("down")),
    "underlay-up": ("underlay down for 30 s in an upload", lambda: cases.underlay("up")),
    "stop-client": ("Client stopped for 190 s in a download", lambda: cases.stopped("client")),
    "stop-gateway": ("Gateway stopped for 190 s in a download", lambda: cases.stopped("gateway")),
    "clock": ("clocks jump in a download", cases.clocks),
    "forgotten": ("Gateway forgets everything in an upload", cases.forgotten),
    "two-gateways": ("one of two Gateways is killed", cases.one_of_two),
}


def run(name: str) -> int:
    """Run one case and print what came of it as one line of JSON."""
    try:
        good, said = CASES[name][1]()
    except (AssertionError, subprocess.TimeoutExpired) as error:
        good, said = False, str(error).splitlines()[0]
    sys.stdout.write(json.dumps({"case": name, "good": good, "said": said}) + "\n")
    return int(not good)


def report(came: list[dict[str, object]]) -> str:
    """Write the page."""
    day = dt.datetime.now(dt.UTC).date()
    lines = [
        "# Silences and failures in real time",
        "",
        f"Written by `make silences` on {day}: each case is two machines in namespaces, separate",
        "processes, the encrypted tunnel and the kernels' own TCP, UDP and connection tracking;",
        f"all cases side by side on one host with {os.cpu_count()} cores and a load average of",
        f"{os.getloadavg()[2]:.0f} over 15 minutes. A transfer is *whole* if its SHA-256 is equal.",
        "",
        "| what happens | as it should be | what came of it |",
        "|---|---|---|",
    ]
    for case in came:
        title = CASES[str(case["case"])][0]
        lines.append(f"| {title} | {'yes' if case['good'] else '**no**'} | {case['said']} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=sorted(CASES), help="only this one, in this process")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the page goes")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0:
        sys.stderr.write("needs root: it makes network namespaces\n")
        return 6
    if given.case:
        return run(given.case)
    processes = []
    for name in CASES:
        own = [sys.executable, __file__, "--case", name]
        processes.append(subprocess.Popen(own, stdout=subprocess.PIPE, text=True))
        # One after the other they are built faster than all at once.
        time.sleep(5)
    came = []
    for name, process in zip(CASES, processes, strict=True):
        said = process.communicate()[0].strip()
        failed = {"case": name, "good": False, "said": "it broke: see above"}
        came.append(json.loads(said.splitlines()[-1]) if said else failed)
        sys.stdout.write(f"{came[-1]}\n")
        sys.stdout.flush()
    given.results.write_text(report(came))
    return int(not all(case["good"] for case in came))


if __name__ == "__main__":
    sys.exit(main())
