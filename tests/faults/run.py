"""Prove that the tests can fail: plant one fault at a time and see a test of its rule fail.

Each patch beside this file is `Rnn-name` after a rule or `area-name` after a crate, begins with two
lines and then is a diff:

    fault: what is wrong now, in a sentence
    crates: the crates whose tests are run, for instance `nat simulation`

The tests run are those whose names begin with the rule's number, or all of the crates for a fault
in an area, in a copy of the tree. A fault is caught if one of them fails; a patch that does not
apply or does not compile is an error of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import results

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = results.ROOT
FAULTS = Path(__file__).parent
BUILD = ROOT / "target" / "faults"
TREE = BUILD / "tree"
HEADER = re.compile(r"fault: (?P<fault>.+)\ncrates: (?P<crates>.+)\n")
ROW = re.compile(r"\| (R\d+|[a-z]+) \| (.+) \| (.+) \| (\d{4}-\d\d-\d\d) \|")
RULE = re.compile(r"R\d+")
FAILED_TEST = re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE)
TIMEOUT = 300
ENVIRONMENT = {
    "CARGO_TARGET_DIR": str(BUILD),
    # Each fault compiles two or three crates; what matters is how soon, not how fast they run.
    "CARGO_PROFILE_CI_OPT_LEVEL": "1",
    "CARGO_PROFILE_CI_DEBUG": "0",
    "CARGO_PROFILE_CI_INCREMENTAL": "true",
    "RUST_BACKTRACE": "0",
}


@dataclass(frozen=True)
class Fault:
    """One planted fault."""

    path: Path
    place: str
    """The rule that it breaks, or the area that it lies in."""
    what: str
    crates: tuple[str, ...]

    @property
    def tests(self) -> tuple[str, ...]:
        """What the names of its tests begin with; nothing if all are."""
        return (f"{self.place.lower()}_",) if RULE.fullmatch(self.place) else ()


@dataclass(frozen=True)
class Outcome:
    """What the tests said."""

    fault: Fault
    caught_by: tuple[str, ...]
    error: str | None = None


def read(path: Path) -> Fault:
    """Read the head of a patch."""
    header = HEADER.match(path.read_text())
    if header is None:
        sys.exit(f"{path.name}: the first two lines are 'fault: …' and 'crates: …'")
    place = path.name.split("-")[0]
    return Fault(path, place, header["fault"], tuple(header["crates"].split()))


def copy_tree(into: Path) -> None:
    """Copy what git knows or would add.

    The copy stays for the next run, so that only what has changed is compiled again.
    """
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wanted = {name for name in listing.splitlines() if (ROOT / name).is_file()}
    for path in sorted(into.rglob("*"), reverse=True):
        if path.is_file() and str(path.relative_to(into)) not in wanted:
            path.unlink()
    for name in sorted(wanted):
        target, content = into / name, (ROOT / name).read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Never with the time of the original: cargo goes by that.
            target.write_bytes(content)


def apply(fault: Fault, tree: Path, *, reverse: bool = False) -> str | None:
    """Apply a patch to the tree; return what went wrong."""
    command = ["git", "apply", str(fault.path)]
    command[2:2] = ["--reverse"] if reverse else []
    # The tree lies in that of git, which must not be looked for.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else done.stderr.strip()


def cargo_test(crates: Iterable[str], *arguments: str) -> list[str]:
    """Make the command that builds and runs the tests of crates."""
    packages = [argument for crate in crates for argument in ("-p", crate)]
    command = ["cargo", "test", "--locked", "--profile", "ci", "--no-fail-fast", "--tests"]
    return [*command, *packages, *arguments]


def build(tree: Path, crates: Iterable[str]) -> str | None:
    """Build the tests of crates; return what went wrong."""
    done = subprocess.run(
        cargo_test(crates, "--no-run"),
        cwd=tree,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else done.stderr


def test(tree: Path, crates: Iterable[str], *filters: str) -> tuple[str, ...]:
    """Run the tests whose names hold a filter, or all; return those that failed."""
    with subprocess.Popen(
        cargo_test(crates, "--", *filters),
        cwd=tree,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            output, _ = running.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            # A test that never ends is a test that fails.
            os.killpg(running.pid, signal.SIGKILL)
            return ("a test that never ended",)
    return tuple(dict.fromkeys(FAILED_TEST.findall(output)))


def run(fault: Fault, tree: Path) -> Outcome:
    """Run the fault's tests over the faulty tree."""
    if build(tree, fault.crates):
        return Outcome(fault, (), "does not compile")
    return Outcome(fault, test(tree, fault.crates, *fault.tests))


def sound(tree: Path, faults: list[Fault]) -> bool:
    """Without a fault all their tests pass; else a failure would prove nothing."""
    if errors := build(tree, crates_of(faults)):
        print("without any fault:", errors, file=sys.stderr)
        return False
    of_rules = [fault for fault in faults if fault.tests]
    of_areas = [fault for fault in faults if not fault.tests]
    rules = sorted({name for fault in of_rules for name in fault.tests})
    failed = test(tree, crates_of(of_rules), *rules) if of_rules else ()
    failed += test(tree, crates_of(of_areas)) if of_areas else ()
    if failed:
        print("without any fault:", ", ".join(failed), file=sys.stderr)
    return not failed


def crates_of(faults: list[Fault]) -> list[str]:
    """Return the crates whose tests are run for any of the faults."""
    return sorted({crate for fault in faults for crate in fault.crates})


def plant(fault: Fault, tree: Path) -> Outcome:
    """Plant one fault, run the tests, take it out again."""
    if error := apply(fault, tree):
        return Outcome(fault, (), f"does not apply: {error}")
    try:
        return run(fault, tree)
    finally:
        apply(fault, tree, reverse=True)


def standing(page: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the rows of the page as it is, by place and fault."""
    lines = page.read_text().splitlines() if page.exists() else []
    rows = (match.groups() for match in map(ROW.fullmatch, lines) if match)
    return {row[:2]: row for row in rows}


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return what the page tells of a fault that was planted today."""
    first = outcome.error or (f"`{outcome.caught_by[0]}`" if outcome.caught_by else "**nothing**")
    more = f" and {len(outcome.caught_by) - 1} more" if len(outcome.caught_by) > 1 else ""
    return (outcome.fault.place, outcome.fault.what, first + more, results.today())


def report(faults: list[Fault], rows: dict[tuple[str, str], tuple[str, ...]]) -> list[str]:
    """Write the page: the faults that there are, each with what came of it last."""
    told = [rows[key] for fault in faults if (key := (fault.place, fault.what)) in rows]
    caught = sum(by.startswith("`") for _, _, by, _ in told)
    return [
        "# Planted faults",
        "",
        "Written by `make faults`. One fault at a time; caught means that a test of its rule, or",
        "of the crate that it lies in, failed, all of which pass without it. A run of some faults",
        "renews their rows alone.",
        "",
        *results.table(("rule or crate", "fault", "caught by", "on"), told),
        "",
        f"{caught} of {len(told)} caught.",
    ]


def main() -> int:
    """Plant every fault, or those named, and say which no test caught."""
    parser = results.options(__doc__, "faults.md")
    parser.add_argument("names", nargs="*", help="beginnings of file names, as R07 or dns")
    given = parser.parse_args()
    names = given.names
    faults = [read(path) for path in sorted(FAULTS.glob("*.patch"))]
    chosen = [f for f in faults if not names or f.path.name.startswith(tuple(names))]
    copy_tree(TREE)
    if not sound(TREE, chosen):
        return 1
    outcomes = []
    for fault in chosen:
        outcome = plant(fault, TREE)
        outcomes.append(outcome)
        caught = f"caught by {len(outcome.caught_by)}" if outcome.caught_by else "NOT CAUGHT"
        print(f"{fault.path.stem:40} {outcome.error or caught}", flush=True)
    rows = standing(given.results) | {found[:2]: found for found in map(row, outcomes)}
    results.write(given.results, report(faults, rows))
    return int(any(not outcome.caught_by for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
