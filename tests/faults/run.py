"""Prove that the tests can fail: plant one fault at a time and see a test of its rule fail.

Each `Rnn-name.patch` beside this file begins with two lines and then is a diff:

    fault: what is wrong now, in a sentence
    crates: the crates whose tests are run, for instance `nat simulation`

The tests run are those whose names begin with the rule's number, in a copy of the tree. A fault is
caught if one of them fails; a patch that does not apply or does not compile is an error of its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).parent
RESULTS = ROOT / "docs" / "results" / "faults.md"
HEADER = re.compile(r"fault: (?P<fault>.+)\ncrates: (?P<crates>.+)\n")
FAILED_TEST = re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE)
TIMEOUT = 900


@dataclass(frozen=True)
class Fault:
    """One planted fault."""

    path: Path
    rule: str
    what: str
    crates: tuple[str, ...]


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
    rule = path.name.split("-")[0]
    return Fault(path, rule, header["fault"], tuple(header["crates"].split()))


def copy_tree(into: Path) -> None:
    """Copy what git knows or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in listing.splitlines():
        source = ROOT / name
        if source.is_file():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def apply(fault: Fault, tree: Path, *, reverse: bool = False) -> str | None:
    """Apply a patch to the tree; return what went wrong."""
    command = ["git", "apply", "--unsafe-paths", f"--directory={tree}", str(fault.path)]
    command[2:2] = ["--reverse"] if reverse else []
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def run(fault: Fault, tree: Path) -> Outcome:
    """Run the rule's tests over the faulty tree."""
    packages = [argument for crate in fault.crates for argument in ("-p", crate)]
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(ROOT / "target" / "faults"),
        "RUST_BACKTRACE": "0",
    }
    done = subprocess.run(
        ["cargo", "test", "--locked", "--profile", "ci", "--no-fail-fast", *packages,
         f"{fault.rule.lower()}_"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )  # fmt: skip
    failed = tuple(dict.fromkeys(FAILED_TEST.findall(done.stdout)))
    if not failed and ("error: could not compile" in done.stderr or "error[E" in done.stderr):
        return Outcome(fault, (), "does not compile")
    return Outcome(fault, failed)


def plant(fault: Fault, tree: Path) -> Outcome:
    """Plant one fault, run the tests, take it out again."""
    if error := apply(fault, tree):
        return Outcome(fault, (), f"does not apply: {error}")
    try:
        return run(fault, tree)
    except subprocess.TimeoutExpired:
        # A test that never ends is a test that fails.
        return Outcome(fault, ("a test that never ended",))
    finally:
        apply(fault, tree, reverse=True)


def report(outcomes: list[Outcome]) -> str:
    """Write the table."""
    day = dt.datetime.now(dt.UTC).date()
    lines = [
        "# Planted faults",
        "",
        f"Written by `make faults` on {day}. One fault at a time; caught means that a test of the rule",
        "failed.",
        "",
        "| rule | fault | caught by |",
        "|---|---|---|",
    ]
    for outcome in outcomes:
        first = outcome.error or (
            f"`{outcome.caught_by[0]}`" if outcome.caught_by else "**nothing**"
        )
        more = f" and {len(outcome.caught_by) - 1} more" if len(outcome.caught_by) > 1 else ""
        lines.append(f"| {outcome.fault.rule} | {outcome.fault.what} | {first}{more} |")
    caught = sum(bool(outcome.caught_by) for outcome in outcomes)
    lines += ["", f"{caught} of {len(outcomes)} caught."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Plant every fault, or those named, and say which no test caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names, for instance R07")
    names = parser.parse_args().names
    faults = [read(path) for path in sorted(FAULTS.glob("R*.patch"))]
    chosen = [f for f in faults if not names or f.path.name.startswith(tuple(names))]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="firezone-faults-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        for fault in chosen:
            outcome = plant(fault, tree)
            outcomes.append(outcome)
            caught = f"caught by {len(outcome.caught_by)}" if outcome.caught_by else "NOT CAUGHT"
            verdict = outcome.error or caught
            print(f"{fault.path.stem:40} {verdict}", flush=True)
    if not names:
        RESULTS.write_text(report(outcomes))
    return int(any(not outcome.caught_by for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
