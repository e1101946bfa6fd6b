"""Hold the promise over its whole matrix, in virtual and in real time, and write the table.

In virtual time each run is compared with one whose queries go to a name without traffic: 0 packets
and 0 ns of difference. In real time `firezone demo` runs with the kernel's TCP and gives its
verdict: inside one process, where control messages can be lost, and through two with WireGuard
between them. Seeds are random and printed: a run that fails can be had again with --seed. `--only`
runs a part; the page keeps the others with their dates.
"""

from __future__ import annotations

import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from tests import results

RECORDS = (
    "same", "rotate", "replace", "lose-family",
    "servfail", "refused", "nxdomain", "timeout", "late",
)  # fmt: skip
RAPID = ("--queries-per-second", "1000")
OTHERS = (("--bandwidth", "unlimited"), ("--latency", "0ms"), ("--idle-queries",))
"""Without a limit, without a distance, and with the queries for a name without traffic."""
TUNNEL = (*RAPID, "--path", "tunnel")
PROCESS = (*RAPID, "--path", "process")
LOSSY = (*RAPID, "--latency", "50ms", "--control-loss", "30%")
PATIENCE = 120
"""Seconds that a run may take beside its transfer."""
PARTS: Final = {
    "virtual": "In virtual time",
    "process": "In real time, inside one process",
    "tunnel": "In real time, through two processes and the encrypted tunnel",
}
WAYS: Final = {"tunnel": "encrypted, two processes", "process": "in one process"}
COLUMNS = ("lost", "duplicated", "reordered", "misdirected", "resets", "recreations_completed")


def virtual(seed: int, seeds: int) -> tuple[list[dict[str, Any]], bool]:
    """Run the matrix in virtual time; return its rows and whether all held."""
    command = ["cargo", "test", "--locked", "--profile", "ci", "-p", "simulation", "--test", "it"]
    environment = {**os.environ, "PROMISE_SEED": str(seed), "PROMISE_SEEDS": str(seeds)}
    done = subprocess.run(
        [*command, "--", "--ignored", "--nocapture", "the_promise_holds"],
        cwd=results.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = (line[line.find("{") :] for line in done.stdout.splitlines() if '{"records"' in line)
    return [json.loads(line) for line in lines], done.returncode == 0


def real(firezone: str, records: str, direction: str, seconds: int, *more: str) -> dict[str, Any]:
    """Run the demo once; return its options and its verdict."""
    options = ["--records", records, "--direction", direction, "--seconds", str(seconds), *more]
    command = [firezone, "demo", "--policy", "keep", "--json", *options]
    with subprocess.Popen(
        command, cwd=results.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            output, errors = running.communicate(timeout=seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            # As Ctrl-C: it takes away what it has built.
            running.send_signal(signal.SIGINT)
            output, errors = running.communicate()
            verdict = {"verdict": "no end"}
        else:
            try:
                verdict = json.loads(output)
            except json.JSONDecodeError:
                verdict = {"verdict": f"exit code {running.returncode}: {errors.strip()[-200:]}"}
    row = {"options": " ".join(options), "verdict": verdict["verdict"]}
    row |= verdict.get("policies", {}).get("keep", {})
    results.say(f"{row['options']:70} {row['verdict']}")
    return row


def machine() -> str:
    """Describe what it ran on, without saying whose it is."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    system = platform.uname()
    return f"{os.cpu_count()} x {model}, {system.system} {system.release}, {system.machine}"


def virtual_table(rows: list[dict[str, Any]]) -> list[str]:
    """Sum up by kind of records."""
    by_records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_records[row["records"]].append(row)
    heads = ("records", "runs", "packets", "re-creations", "look-ups", "changes")
    lines = []
    for records, of in by_records.items():
        sums = (
            f"{sum(row.get(key, 0) for row in of):,}"
            for key in ("packets", "recreations", "lookups", "changes")
        )
        late = sum(row.get("late", False) for row in of)
        lines.append((records, str(len(of) - late), *sums, str(late)))
    return results.table((*heads, "not set up in time"), lines)


def real_table(rows: list[dict[str, Any]]) -> list[str]:
    """One line per run."""
    told = (column.replace("_", " ") for column in COLUMNS)
    heads = ("options", "way", "verdict", "MB", "SHA-256 equal", *told, "longest gap, ms")
    lines = []
    for row in rows:
        gap = row.get("longest_gap_ms")
        cells = (
            f"`{row['options']}`",
            WAYS.get(row.get("path"), ""),
            f"**{row['verdict']}**",
            f"{row.get('bytes', 0) / 1e6:.0f}",
            {True: "yes", False: "no"}.get(row.get("sha256_equal"), ""),
            *(str(row.get(column, "")) for column in COLUMNS),
            f"{gap:.1f}" if isinstance(gap, (int, float)) else "",
        )
        lines.append(cells)
    return results.table(heads, lines)


def virtual_part(seed: int, rows: list[dict[str, Any]], held: bool) -> list[str]:
    """Write the section about virtual time."""
    return [
        "Every kind of records x latency 0, 20, 50 ms x 0, 10, 30 % of control packets lost, with",
        f"seeds from {seed} on. In each run every packet arrived at the nanosecond at which it",
        "does when the queries go to a name without traffic; none was lost, duplicated,",
        "reordered or misdirected. Where the first announcements are lost one after the other,",
        "the name is not set up when the queries begin: such runs prove nothing; the last column",
        "counts them.",
        "",
        *virtual_table(rows),
        "",
        f"{sum(not row.get('late') for row in rows)} runs, all as promised."
        if held
        else f"**Broken after {len(rows)} runs.**",
    ]


def real_part(runs: list[dict[str, Any]]) -> list[str]:
    """Write a section about real time."""
    return [
        "`firezone demo --policy keep`: curl and nginx, the kernel's TCP, captures on both sides.",
        "",
        *real_table(runs),
        "",
        f"{sum(run['verdict'] == 'kept' for run in runs)} of {len(runs)} kept.",
    ]


def dated(lines: list[str]) -> str:
    """Begin a section with when and where it was measured."""
    return "\n".join([f"Run on {results.today()}. {machine()}.", "", *lines])


def write(path: Path, parts: dict[str, str]) -> None:
    """Write the page: the parts given, and the others as they stand there."""
    former = path.read_text() if path.exists() else ""
    standing = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)*)", former, re.MULTILINE))
    page = ["# The promise over its matrix", "", "Written by `make promise`."]
    for part, title in PARTS.items():
        text = parts.get(part) or standing.get(title, "").strip()
        if text:
            page += ["", f"## {title}", "", text]
    results.write(path, page)


def process_runs(firezone: str, seconds: int, long: int) -> list[dict[str, Any]]:
    """Run everything that is run inside one process."""
    runs = [
        real(firezone, records, direction, length, *options)
        for length, options in ((seconds, PROCESS), (long, LOSSY))
        for records in RECORDS
        for direction in ("up", "down")
    ]
    return runs + [
        real(firezone, "same", direction, seconds, *PROCESS, *options)
        for options in OTHERS
        for direction in ("up", "down")
    ]


def tunnel_runs(firezone: str, seconds: int) -> list[dict[str, Any]]:
    """Run every kind of records both ways through the tunnel."""
    return [
        real(firezone, records, direction, seconds, *TUNNEL)
        for records in RECORDS
        for direction in ("up", "down")
    ]


def main() -> int:
    """Run the parts."""
    parser = results.options(__doc__, "promise.md")
    parser.add_argument("--firezone", default="firezone", help="the program to run the demo with")
    parser.add_argument("--seed", type=int, help="first seed; random if not given")
    parser.add_argument("--seeds", type=int, default=2, help="seeds per point of the matrix")
    parser.add_argument("--seconds", type=int, default=15, help="length of a run")
    parser.add_argument("--long", type=int, default=30, help="length of a lossy run")
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="a part; all if none")
    given = parser.parse_args()
    results.begin()
    wanted = given.only or tuple(PARTS)
    parts: dict[str, str] = {}
    all_held = True
    if "virtual" in wanted:
        seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
        results.say(f"seed {seed}")
        rows, all_held = virtual(seed, given.seeds)
        results.say(f"virtual: {len(rows)} runs, {'all held' if all_held else 'BROKEN'}")
        parts["virtual"] = dated(virtual_part(seed, rows, all_held))
    for part, run in (
        ("process", lambda: process_runs(given.firezone, given.seconds, given.long)),
        ("tunnel", lambda: tunnel_runs(given.firezone, given.seconds)),
    ):
        if part in wanted:
            runs = run()
            all_held = all_held and all(run["verdict"] == "kept" for run in runs)
            parts[part] = dated(real_part(runs))
    write(given.results, parts)
    return int(not all_held)


if __name__ == "__main__":
    sys.exit(main())
