"""Measure which lines of the core the tests run; write the page of what they do not, and why.

The lines are those of `packet`, `dns`, `nat` and `wireguard`, without `#[cfg(test)]`. The tests are
their own and those of the crates that put them together, which are named in `TESTS`. What no test
runs has its reason in `reasons.toml`, by the file and the text of a line; a reason for a line that
is run, and a line without a reason, are errors as too few lines are.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = results.ROOT
CRATES = ("packet", "dns", "nat", "wireguard")
TESTS = (*CRATES, "connection", "netstack", "tunnel", "simulation")
# Minutes long when each line counts itself. What they alone would run counts as not run.
SKIPPED = ("promise", "crowded", "matrix")
LEAST = 95.0
REASONS = Path(__file__).with_name("reasons.toml")
FILE = re.compile(r"SF:(.+)")
LINE = re.compile(r"DA:(\d+),(\d+)")
TEST_CODE = re.compile(r"^#\[cfg\(test\)\]\n(?:#.*\n)*mod \w+ \{.*?^\}", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Region:
    """Lines in a row that no test runs."""

    path: str
    first: int
    last: int
    text: tuple[str, ...]

    def __str__(self) -> str:
        """Tell it as the page does."""
        lines = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"`{self.path.removeprefix('rust/')}:{lines}`"


def tool(name: str) -> str:
    """Return where a tool of LLVM is: it must be of the compiler's version."""
    told = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"LLVM version: (\d+)", told)
    if match is None:
        sys.exit("rustc does not say which LLVM it has")
    return f"/usr/lib/llvm-{match[1]}/bin/{name}"


def run_tests() -> None:
    """Build the tests so that they count, and run them."""
    command = ["cargo", "llvm-cov", "test", "--locked", "--profile", "ci", "--no-fail-fast"]
    packages = [argument for crate in TESTS for argument in ("-p", crate)]
    environment = os.environ | {
        "LLVM_COV": tool("llvm-cov"),
        "LLVM_PROFDATA": tool("llvm-profdata"),
        # As for planted faults: what matters is how soon they are built.
        "CARGO_PROFILE_CI_OPT_LEVEL": "1",
        "CARGO_PROFILE_CI_DEBUG": "0",
    }
    skipped = [argument for name in SKIPPED for argument in ("--skip", name)]
    command = [*command, "--no-report", *packages, "--", *skipped]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def measured(target: Path) -> dict[str, dict[int, int]]:
    """Return how often each line of each file ran, over all programs.

    Each program is asked alone: of a function that several of them have, LLVM shows that of the
    first, and where nobody calls it there it counts as not run.
    """
    profile = target / "tests.profdata"
    raw = [str(path) for path in target.glob("*.profraw")]
    merge = [tool("llvm-profdata"), "merge", "-sparse", *raw, "-o", str(profile)]
    subprocess.run(merge, check=True)
    ran: dict[str, dict[int, int]] = {}
    for program in programs(target / "ci" / "deps"):
        export = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={profile}"]
        done = subprocess.run([*export, str(program)], capture_output=True, text=True, check=True)
        for path, of in counts(done.stdout):
            lines = ran.setdefault(path, {})
            for line, count in of.items():
                lines[line] = max(count, lines.get(line, 0))
    return dict(sorted(ran.items()))


def programs(folder: Path) -> list[Path]:
    """Return the programs that cargo built."""
    return [path for path in folder.iterdir() if not path.suffix and os.access(path, os.X_OK)]


def counts(lcov: str) -> Iterator[tuple[str, dict[int, int]]]:
    """Yield each file of the project with how often its lines ran."""
    for record in lcov.split("end_of_record"):
        name = FILE.search(record)
        if name is not None:
            path = Path(name[1])
            if path.is_relative_to(ROOT):
                yield (
                    str(path.relative_to(ROOT)),
                    {int(line): int(count) for line, count in LINE.findall(record)},
                )


def of_program(path: str, ran: dict[int, int]) -> dict[int, int]:
    """Leave out what only tests have."""
    text = (ROOT / path).read_text()
    tests: set[int] = set()
    for match in TEST_CODE.finditer(text):
        first = text.count("\n", 0, match.start()) + 1
        tests |= set(range(first, first + match[0].count("\n") + 1))
    return {line: count for line, count in ran.items() if line not in tests}


def regions(path: str, ran: dict[int, int]) -> Iterator[Region]:
    """Yield what did not run, lines between which none ran as one."""
    lines = (ROOT / path).read_text().splitlines()
    row: list[int] = []
    for line in [*sorted(ran), None]:
        if line is not None and ran[line] == 0:
            row.append(line)
        elif row:
            text = tuple(lines[at - 1].strip() for at in range(row[0], row[-1] + 1))
            yield Region(path, row[0], row[-1], text)
            row = []


def is_counted(path: str) -> bool:
    """Whether a file is part of one of the four crates."""
    _, crate, kind, *rest = path.split("/")
    return crate in CRATES and kind == "src" and rest[-1] != "tests.rs"


def reason_of(region: Region, reasons: dict[str, dict[str, list[str]]]) -> str:
    """Return why a region does not run; empty if nobody said it."""
    for why, files in reasons.items():
        known = files.get(region.path.removeprefix("rust/"), [])
        if any(line in region.text for line in known):
            return why
    return ""


def unused(found: Iterable[Region], reasons: dict[str, dict[str, list[str]]]) -> list[str]:
    """Return reasons for lines that run, or that there are no more."""
    texts: dict[str, set[str]] = {}
    for region in found:
        texts.setdefault(region.path.removeprefix("rust/"), set()).update(region.text)
    return [
        f"{path}: {line}"
        for files in reasons.values()
        for path, lines in files.items()
        for line in lines
        if line not in texts.get(path, set())
    ]


def page(ran: dict[str, dict[int, int]], why: dict[Region, str]) -> list[str]:
    """Write the page."""
    lines = [
        "# Lines that tests run",
        "",
        f"Written by `make coverage` on {results.today()}. The tests are those of the crates",
        f"{', '.join(f'`{name}`' for name in TESTS)};",
        f"those named {', '.join(SKIPPED)} left out. Code of tests is not counted.",
        "",
        *results.table(("crate", "lines", "run by tests", "%"), map(row_of, parts(ran))),
        "",
        "## What no test runs",
        "",
    ]
    for reason in sorted(set(why.values())):
        own = [region for region, said in why.items() if said == reason]
        count = sum(sum(1 for at in ran[of.path] if of.first <= at <= of.last) for of in own)
        lines += [f"{reason or '**No reason is given.**'} ({count} lines)", ""]
        lines += [f"- {region}: `{first_line(region)}`" for region in own]
        lines += [""]
    return lines[:-1]


def first_line(region: Region) -> str:
    """Return what tells a region from others: its first line that says something."""
    return next((line for line in region.text if line.strip("{}()[];,")), region.text[0])


def parts(ran: dict[str, dict[int, int]]) -> Iterator[tuple[str, list[int]]]:
    """Yield each crate with the counts of its lines."""
    for crate in CRATES:
        own = [of for path, of in ran.items() if path.startswith(f"rust/{crate}/")]
        yield crate, [count for of in own for count in of.values()]


def row_of(part: tuple[str, list[int]]) -> tuple[str, ...]:
    """Return a line of the table."""
    crate, lines = part
    covered = sum(count > 0 for count in lines)
    return (f"`{crate}`", str(len(lines)), str(covered), f"{share(lines):.1f}")


def share(lines: list[int]) -> float:
    """Return how many of a hundred lines ran."""
    return 100 * sum(count > 0 for count in lines) / max(1, len(lines))


def main() -> int:
    """Measure, write the page, and say what is wrong."""
    parser = results.options(__doc__, "coverage.md")
    parser.add_argument("--again", action="store_true", help="run nothing, look at what has run")
    given = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "llvm-cov-target"
    if not given.again:
        run_tests()
    told = measured(target).items()
    ran = {path: of_program(path, of) for path, of in told if is_counted(path)}
    found = [region for path, of in ran.items() for region in regions(path, of)]
    reasons = tomllib.loads(REASONS.read_text())
    why = {region: reason_of(region, reasons) for region in found}
    results.write(given.results, page(ran, why))
    wrong = [
        f"{crate}: {share(lines):.1f} % of lines"
        for crate, lines in parts(ran)
        if share(lines) < LEAST
    ]
    wrong += [f"{region} has no reason" for region, said in why.items() if not said]
    wrong += [f"no such line is left out: {line}" for line in unused(found, reasons)]
    for line in wrong:
        results.say(line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
