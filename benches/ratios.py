"""Turn the lines of the benchmarks into docs/results/bench.md: ratios first, times beside them.

`python benches/ratios.py RATIOS.jsonl [PYTHON.json]`; `make bench` makes both. Times are of the
machine that is named; what is compared is what ran in turns in one process on it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "bench.md"
WHOLE = 10
"""Ratios from here on need no digit behind the point."""
RECORD = ROOT / "benches" / "instructions.toml"


def machine() -> str:
    """Describe what it ran on, without saying whose it is."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            return f"{os.cpu_count()} x {model}, {platform.system()} {platform.machine()}"
    return platform.machine()


def ratio(ours: float, reference: float) -> str:
    """Say how much less we take, to two digits."""
    times = reference / ours
    return f"{times:,.0f}x" if times >= WHOLE else f"{times:.1f}x"


def core(path: Path) -> list[str]:
    """Make the table of the Rust benchmarks."""
    lines = [
        "| what | case | less time | ours, ns | reference, ns | spread of the reference |",
        "|---" * 6 + "|",
    ]
    for line in path.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        noisy = "" if row["quiet"] else " (not quiet)"
        lines.append(
            f"| {row['name']} | {row['case']} | **{ratio(row['ours'], row['reference'])}** "
            f"| {row['ours']:,.1f} | {row['reference']:,.1f} | {row['spread']:.0%}{noisy} |"
        )
    return lines


def python(path: Path) -> list[str]:
    """Make the table of the Python benchmarks."""
    rows = json.loads(path.read_text())["benchmarks"]
    lines = ["| what | per packet, ns | |", "|---|---|---|"]
    for row in rows:
        packets = row["extra_info"].get("packets", 1)
        what = row["extra_info"].get("what", row["name"])
        note = row["extra_info"].get("note", "")
        lines.append(f"| {what} | {row['stats']['min'] * 1e9 / packets:,.0f} | {note} |")
    return lines


def instructions() -> list[str]:
    """Make the table of recorded instruction counts."""
    record = tomllib.loads(RECORD.read_text())
    lines = ["| station | instructions per packet |", "|---|---|"]
    lines += [f"| `{name}` | {count:,.0f} |" for name, count in record["per_packet"].items()]
    return lines


def main() -> int:
    """Write the page and print it."""
    given = [Path(argument) for argument in sys.argv[1:]]
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {dt.datetime.now(dt.UTC).date()}. {machine()}.",
        "",
        "## Tables against the usual shape",
        "",
        "Ours and the reference take turns in one process (A B B A, nine times); the least time",
        "of a round counts, per packet or query. The reference is two maps of the standard library",
        "and a tree, ports tried one after the other, expiry by a scan; for held packets a queue",
        "of vectors; for DNS the patterns tried one after the other (`benches/core`).",
        "",
        *core(given[0]),
    ]
    if len(given) > 1:
        lines += ["", "## From Python", "", *python(given[1])]
    if RECORD.exists():
        lines += ["", "## Instructions", "", *instructions()]
    text = "\n".join(lines) + "\n"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
