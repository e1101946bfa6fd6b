"""Count instructions per packet at each station with callgrind, and compare with what is recorded.

`python benches/instructions.py BINARY` prints the comparison; `--record` writes instructions.toml.
Times differ from machine to machine, these counts only with the code and the compiler.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import subprocess
import sys
import tomllib
from pathlib import Path

RECORD = Path(__file__).parent / "instructions.toml"
COUNTED = re.compile(r"Collected\s*:\s*(\d+)")
FEW, MANY = 2_000, 12_000


def instructions(binary: str, station: str, count: int) -> int:
    """Count the instructions of a run."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary]
    done = subprocess.run(
        [*command, station, str(count)], capture_output=True, text=True, check=True
    )
    found = COUNTED.search(done.stderr)
    if found is None:
        sys.exit(done.stderr)
    return int(found[1])


def measure(binary: str) -> dict[str, float]:
    """Count for every station: the difference of two runs is free of the set-up."""
    stations = subprocess.run([binary], capture_output=True, text=True, check=True).stdout.split()
    found = {}
    for station in stations:
        more = instructions(binary, station, MANY) - instructions(binary, station, FEW)
        found[station] = round(more / (MANY - FEW), 1)
    return found


def written(found: dict[str, float]) -> str:
    """Write the record."""
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    lines = [
        "# Instructions per packet (a TCP segment of 1240 bytes), counted by callgrind.",
        "# Written by `make instructions`, which is benches/instructions.py --record.",
        f'date = "{dt.datetime.now(dt.UTC).date()}"',
        f'compiler = "{compiler.stdout.strip()}"',
        f'valgrind = "{valgrind.stdout.strip()}"',
        "",
        "[per_packet]",
        *(f"{station} = {count}" for station, count in found.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, then record or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the benchmark `path` of rust/simulation")
    parser.add_argument("--record", action="store_true", help="write instructions.toml")
    given = parser.parse_args()
    found = measure(given.binary)
    recorded = {}
    if RECORD.exists():
        recorded = tomllib.loads(RECORD.read_text())["per_packet"]
    for station, count in found.items():
        before = recorded.get(station)
        change = f"{count / before - 1:+.1%}" if before else "new"
        sys.stdout.write(f"{station:14} {count:9.1f} instructions per packet  {change}\n")
    if given.record:
        RECORD.write_text(written(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
