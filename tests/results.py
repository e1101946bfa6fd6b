"""Pages in docs/results, and what the scripts that measure and write them do alike."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["RESULTS", "ROOT", "begin", "options", "say", "side_by_side", "table", "today", "write"]

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "docs" / "results"


def options(said: str, page: str) -> argparse.ArgumentParser:
    """Return a parser with what every script takes.

    Args:
        said: The script's docstring.
        page: File name of its page.
    """
    parser = argparse.ArgumentParser(description=said.splitlines()[0])
    parser.add_argument(
        "--results", type=Path, default=RESULTS / page, help="where the page is written"
    )
    return parser


def begin() -> None:
    """Let Ctrl-C end it and take everything away; without root end here."""
    # Started in the background SIGINT is ignored, by all children too, and nothing ends by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0:
        sys.stderr.write("needs root: it makes network namespaces\n")
        sys.exit(6)


def today() -> str:
    """Return the day that a page tells."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def say(said: object) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


def table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return lines + [f"| {' | '.join(cells)} |" for cells in rows]


def write(page: Path, lines: Iterable[str]) -> None:
    """Write a page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines) + "\n")


def side_by_side(
    module: str, parts: Iterable[Sequence[str]], pause: float
) -> Iterator[list[dict[str, Any]]]:
    """Run parts of a script, each in a process of its own; yield what each printed as JSON.

    Args:
        module: The script.
        parts: The options of each part.
        pause: Seconds between two beginnings: one after the other they are built faster.
    """
    processes: list[subprocess.Popen[str]] = []
    for part in parts:
        time.sleep(pause if processes else 0)
        # A part ends with the whole.
        command = ("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", module, *part)
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
    for process in processes:
        said = process.communicate()[0]
        yield [json.loads(line) for line in said.splitlines()]
