"""Count instructions per packet at each station with callgrind, and hold them to what is recorded.

`python -m benches.micro.instructions BINARY` prints the comparison; `--record` writes it to
instructions.toml; `--check` fails if a station takes more than 2 % more than its budget. Times
differ from machine to machine, these counts only with the code, the compiler and the processor's
features: with others than those recorded they are reported, and nothing fails.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tests.results import say, today

RECORD: Final = Path(__file__).parents[1] / "instructions.toml"
COUNTED: Final = re.compile(r"Collected\s*:\s*(\d+)")
FEW, MANY = 500, 2_500
GROWTH: Final = 1.02
"""How much more than its budget a station may take."""
SEEN: Final = ("sse4_2", "avx", "avx2", "bmi2", "fma", "sha_ni", "erms", "fsrm")
"""Features by which programs choose their code and that valgrind may pass on."""
HEAD: Final = """\
# Instructions per packet (a TCP segment of 1240 bytes), counted by callgrind. `per_packet` is of
# the release build and what pages tell; `budget` is of the build under test, and `make budgets`
# fails if a station exceeds it by more than 2 %. Written by `make instructions`.
"""


def features() -> str:
    """Name what the processor has of what matters."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    return " ".join(flag for flag in SEEN if flag in has)


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
    runs = [(station, count) for station in stations for count in (FEW, MANY)]
    with ThreadPoolExecutor(2) as pool:
        counted = list(pool.map(lambda run: instructions(binary, *run), runs))
    pairs = zip(stations, counted[::2], counted[1::2], strict=True)
    return {station: round((many - few) / (MANY - FEW), 1) for station, few, many in pairs}


def written(recorded: dict[str, Any], section: str, found: dict[str, float]) -> str:
    """Write the record with one section anew."""
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    lines = [
        f'{HEAD}date = "{today()}"',
        f'compiler = "{compiler.stdout.strip()}"',
        f'valgrind = "{valgrind.stdout.strip()}"',
        f'features = "{features()}"',
    ]
    for name in ("per_packet", "budget"):
        counts = found if name == section else recorded.get(name, {})
        lines += ["", f"[{name}]", *(f"{station} = {count}" for station, count in counts.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, then record or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", help="the benchmark `path` of rust/simulation")
    parser.add_argument("--section", default="per_packet", help="per_packet (default) or budget")
    parser.add_argument("--record", action="store_true", help="write instructions.toml")
    parser.add_argument("--check", action="store_true", help="fail if a budget is exceeded")
    given = parser.parse_args()
    found = measure(given.binary)
    recorded: dict[str, Any] = tomllib.loads(RECORD.read_text())
    too_many = []
    for station, count in found.items():
        before = recorded.get(given.section, {}).get(station)
        change = f"{count / before - 1:+.1%}" if before else "new"
        say(f"{station:14} {count:9.1f} instructions per packet  {change}")
        if before and count > before * GROWTH:
            too_many.append(f"{station}: {count:.0f} instructions per packet, budget {before:.0f}")
    if given.record:
        RECORD.write_text(written(recorded, given.section, found))
    if not given.check or not too_many:
        return 0
    if recorded.get("features") != features():
        say(f"recorded on a processor with {recorded.get('features')}, not {features()}: not held")
        return 0
    say("\n".join(too_many))
    say("made dearer on purpose? `make instructions` records the new budgets")
    return 1


if __name__ == "__main__":
    sys.exit(main())
