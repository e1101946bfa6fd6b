"""Turn what the benchmarks found into docs/results/bench.md, bench.json and bench.png.

`python -m benches.micro.page FOLDER`; `make bench` fills the folder. Times are of the machine
that is
named; what is compared is what ran in turns in one process, or in one namespace, on it.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from benches.macro import machine
from benches.micro import lines
from benches.micro.plots import draw
from tests.results import RESULTS, ROOT, table, today

_WHOLE: Final = 10
"""Ratios from here on need no digit behind the point."""
_HEADS: Final = ("what", "case", "peer", "ours", "peer's", "ratio", "goal", "spread of the peer")
_ABOUT: Final = """
Ours and a peer take turns (A B B A, seven times); the least time of a round counts, per packet or
query, and the ratio says how many times less ours takes. A comparison during which the peer's own
times are spread over more than a quarter is made again, three times at most, and marked if that did
not help (then the quietest counts). Figures of DNS over the TUN are queries per second of the
server's processor time.

Peers (`benches/reference`): *bimap + BTreeMap* is Firezone's own Gateway rebuilt from its
shape: two
maps with the standard hasher that share counted keys, a tree for the state, ports one after the
other, expiry by a scan. *HashMap* keeps all of a flow in one map of the standard library. *patterns
one by one* is its stub's way to find a resource. `hit out` is one call per packet; `looked
up ahead`
finds the flows of 64 packets at a time (`FlowTable::look_ahead`); *16 in a row* are 16 packets of a
flow, one after the other; `one decision` is one call for such a train, as the data plane makes it.
`match and verdict` finds the resource of a new flow by address and port: *networks* have every
length from 8 to 32 bits, *new addresses* were not asked for before. `re-creation` is what the data
plane spends on 10,000 names that are asked for and answered, beside the packets. `memory of a flow`
is counted by the allocator, both indexes included.
unbound and dnsmasq run with one thread and hold all names as local data.
""".strip()

_PYTHON: Final = """
Of the release wheel, nanoseconds per call, packet or query. Each side has two turns of 60 rounds
(ours, the peer, the peer, ours), the least round counts, and garbage is not collected meanwhile. A
ratio below 1 says that ours takes more: the goal of a call is at most ten times a no-op, that of a
batch of 256 at most one and a half times *the core alone* (`benches/core/benches/beside.rs`): a
program of Rust that copies the same packets to where they are to lie and translates them there, 64
looked up ahead. Captures are read and written in memory. The stub is measured without Python; its
peers are Python's.
""".strip()


def number(value: float) -> str:
    """Write a figure with three digits at least."""
    return f"{value:,.0f}" if value >= _WHOLE**2 else f"{value:.3g}"


def ratio(row: dict[str, Any]) -> float:
    """Reckon how many times less ours takes, or more it does."""
    if row.get("per_cpu_second"):
        return float(row["ours"] / row["reference"])
    return float(row["reference"] / row["ours"])


def times(value: float) -> str:
    """Write a ratio."""
    return f"{value:,.0f}x" if value >= _WHOLE else f"{value:.2f}x"


def comparison(row: dict[str, Any]) -> list[str]:
    """Make a row of the table."""
    found, goal = ratio(row), row["goal"]
    wanted = f"{times(goal)} {'held' if found >= goal else '**missed**'}" if goal else ""
    noisy = "" if row["quiet"] else " (not quiet)"
    unit = "/s" if row.get("per_cpu_second") else f" {row.get('unit', 'ns')}"
    ours, theirs = number(row["ours"]) + unit, number(row["reference"]) + unit
    spread = f"{row['spread']:.0%}{noisy}" if row["spread"] else ""
    return [row["name"], row["case"], row["peer"], ours, theirs, times(found), wanted, spread]


def pauses(rows: list[dict[str, Any]]) -> list[str]:
    """Make the table of how long single calls took."""
    shares = [share for share, _ in rows[0]["points"]] if rows else []
    heads = ["what", "who", *(f"{share:.2%}" if share < 1 else "longest" for share in shares)]
    told = [
        [row["distribution"], row["who"], *(number(nanos / 1e3) for _, nanos in row["points"])]
        for row in rows
    ]
    return table(heads, told)


def instructions(folder: Path) -> list[str]:
    """Make the table of instruction counts: the core's stations, then the whole path."""
    counted = lines.counts(folder / "instructions.txt")
    path = tomllib.loads((ROOT / "benches" / "instructions.toml").read_text())["per_packet"]
    told = [[f"`{name}`", "gungraun", number(count)] for name, count in counted.items()]
    told += [[f"`{name}`", "recorded, path", number(count)] for name, count in path.items()]
    return table(["station", "by", "instructions per packet or query"], told)


def main() -> int:
    """Write the page and print it."""
    folder = Path(sys.argv[1])
    files = ("ratios.jsonl", "memory.jsonl", "dns.jsonl")
    rows = [row for name in files for row in lines.ratios(folder / name)]
    calls = lines.distributions(folder / "ratios.jsonl")
    alone = lines.times(folder / "times.txt")
    from_python = lines.python(folder / "python.json")
    about = machine.describe()
    draw(alone, calls, RESULTS / "bench.png")
    told = [[name, case, number(nanos)] for name, of in alone.items() for case, nanos in of.items()]
    flags = ", ".join(about["flags"])
    on = f"{about['processors']} x {about['model']}, {flags}; Linux {about['kernel']}."
    text = [
        "# Benchmarks", "",
        f"Written by `make bench` on {today()}. {on}", "", _ABOUT, "",
        *table(_HEADS, map(comparison, rows)), "",
        "![cost by flows and by batch, pauses](bench.png)", "",
        "## How long single calls take", "", "Microseconds; of each call the least of three runs.",
        "", *pauses(calls), "",
        "## From Python", "", _PYTHON, "", *table(_HEADS, map(comparison, from_python)), "",
        "## Alone", "", *table(["what", "case", "least, ns"], told), "",
        "## Instructions", "", *instructions(folder),
    ]  # fmt: skip
    (RESULTS / "bench.md").write_text("\n".join(text) + "\n")
    found = {"machine": about, "ratios": rows, "python": from_python, "pauses": calls,
             "alone": alone, "instructions": lines.counts(folder / "instructions.txt")}  # fmt: skip
    (folder / "bench.json").write_text(json.dumps(found, indent=1))
    sys.stdout.write("\n".join(text) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
