"""Let things be silent, stopped, killed or at another time, for long; write what came of it.

Each case is two machines in namespaces and a process of its own, and they run side by side: nearly
all of it is waiting.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

from tests import results
from tests.silences import cases

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
    results.say(json.dumps({"case": name, "good": good, "said": said}))
    return int(not good)


def report(came: list[dict[str, str]]) -> list[str]:
    """Write the page."""
    day = results.today()
    heads = ("what happens", "as it should be", "what came of it")
    rows = [
        (CASES[case["case"]][0], "yes" if case["good"] else "**no**", case["said"]) for case in came
    ]
    return [
        "# Silences and failures in real time",
        "",
        f"Written by `make silences` on {day}: each case is two machines in namespaces, separate",
        "processes, the encrypted tunnel and the kernels' own TCP, UDP and connection tracking;",
        f"all cases side by side on one host with {os.cpu_count()} cores and a load average of",
        f"{os.getloadavg()[2]:.0f} over 15 minutes. A transfer is *whole* if its SHA-256 is equal.",
        "",
        *results.table(heads, rows),
    ]


def main() -> int:
    """Run all of them."""
    parser = results.options(__doc__, "silences.md")
    parser.add_argument("--case", choices=sorted(CASES), help="only this one, in this process")
    given = parser.parse_args()
    results.begin()
    if given.case:
        return run(given.case)
    parts = results.side_by_side("tests.silences.run", [("--case", n) for n in CASES], pause=5)
    came = []
    for name, said in zip(CASES, parts, strict=True):
        broke = {"case": name, "good": False, "said": "it broke: see above"}
        came.append(said[-1] if said else broke)
        results.say(came[-1])
    results.write(given.results, report(came))
    return int(not all(case["good"] for case in came))


if __name__ == "__main__":
    sys.exit(main())
