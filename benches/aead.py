"""Turn what `make aead-differential` made into docs/results/aead.md.

`python benches/aead.py BATCHES.jsonl DIFFERENTIAL.txt`: lines of `rust/aead/benches/batches`, and
the line in which the comparison with ring says what it did.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from ratios import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "aead.md"
CIPHERS = ("auto", "avx512-ifma", "avx512", "avx2", "chacha20poly1305")
AGREEMENT = """\
## Against ring, bit by bit

Every cipher of this processor sealed and opened the same batches: random keys, counters, lengths of
0 to 1500 bytes, starts and gaps; in half of them some messages were changed on the way. Sealed
bytes, verdicts and opened bytes are those of `ring`, everything else is untouched."""
TIME = """\
## Time

Times less than `ring`, and nanoseconds per message (least of the rounds, which take turns with
ring's; `?`: the machine was not quiet). Batches are messages x bytes. `auto` is what an endpoint
uses by `aead = "auto"`: the lanes, or `ring` where that is faster. The others are forced."""

Rows = dict[str, dict[str, Any]]


def cases(path: Path) -> dict[str, Rows]:
    """Return for each case what was measured, by its name."""
    found: dict[str, Rows] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["case"], {})[row["name"]] = row
    return found


def cell(row: dict[str, Any] | None) -> str:
    """Say how many times less than ring it takes, and how long."""
    if row is None:
        return "-"
    noisy = "" if row["quiet"] else " ?"
    return f"{row['reference'] / row['ours']:.2f}x {row['ours']:,.0f}{noisy}"


def table(what: str, found: dict[str, Rows]) -> list[str]:
    """Make the table of sealing or of opening."""
    present = [name for name in CIPHERS if any(f"{what} {name}" in rows for rows in found.values())]
    lines = [
        f"| {what} | ring | {' | '.join(present)} |",
        "|---" * (len(present) + 2) + "|",
    ]
    for case, rows in found.items():
        ring = rows[f"{what} auto"]["reference"]
        cells = (cell(rows.get(f"{what} {name}")) for name in present)
        lines.append(f"| {case} | {ring:,.0f} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Write the page and print it."""
    batches, differential = map(Path, sys.argv[1:])
    found = cases(batches)
    written = f"Written by `benches/aead.py` on {dt.datetime.now(dt.UTC).date()}."
    lines = [
        "# AEAD across packets",
        "",
        f"{written} {machine()}.",
        "",
        *AGREEMENT.splitlines(),
        "",
        *(f"- {line}" for line in differential.read_text().splitlines()),
        "",
        *TIME.splitlines(),
        "",
        *table("seal", found),
        "",
        *table("open", found),
        "",
    ]
    text = "\n".join(lines)
    RESULTS.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
