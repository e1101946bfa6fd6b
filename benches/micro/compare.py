"""Show what a change did: the benchmarks of another commit and of this tree, in turns.

`make bench-compare BASE=commit` builds the programs of both and calls `python -m
benches.micro.compare BASE-PROGRAM PROGRAM [PART...]`. Each part runs A B B A; of each row the least
counts. The peer's figure beside it tells what the machine did meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from tests.results import say, table

PARTS: Final = ("flows", "ports", "pauses", "storm", "held", "names", "filters")
_LIKE: Final = 0.05
"""Changes below this are the machine's."""

Found = dict[tuple[str, str, str], tuple[float, float]]


def measure(program: str, part: str, found: Found) -> None:
    """Run a part and keep the least of each row: ours, and the peer's."""
    done = subprocess.run([program, part], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        row = json.loads(line)
        if "ours" not in row:
            continue
        key = (row["name"], row["case"], row["peer"])
        ours, theirs = found.get(key, (row["ours"], row["reference"]))
        found[key] = (min(ours, row["ours"]), min(theirs, row["reference"]))


def main() -> int:
    """Measure both and print the table."""
    base, now, *parts = sys.argv[1:]
    before: Found = {}
    after: Found = {}
    for part in parts or PARTS:
        for program in (base, now, now, base):
            measure(program, part, before if program == base else after)
    rows = []
    for key, (ours, theirs) in after.items():
        if key not in before:
            rows.append([*key, "", f"{ours:.3g}", "new", ""])
            continue
        former, their_former = before[key]
        change = ours / former
        said = "" if abs(change - 1) < _LIKE else ("slower" if change > 1 else "faster")
        peer = f"{theirs / their_former:.2f}"
        rows.append([*key, f"{former:.3g}", f"{ours:.3g}", f"{change:.2f} {said}".strip(), peer])
    heads = ["what", "case", "peer", "before, ns", "after, ns", "after / before", "the peer's own"]
    for line in table(heads, rows):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
