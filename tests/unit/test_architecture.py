"""ARCHITECTURE.md tells the truth about the way of a packet."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r"^\| \[(?P<file>rust/[\w/.]+)\]\([\w/.]+\) \| `(?P<function>\w+)` \|", re.MULTILINE
)
MOST_LINES = 40


def journeys() -> list[list[tuple[str, str]]]:
    """Return each table of stations: (file, function) in order."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    found = [[(m["file"], m["function"]) for m in ROW.finditer(table)] for table in tables]
    return [stations for stations in found if stations]


def body(file: str, function: str) -> list[str]:
    """Return the lines of a function, signature included."""
    source = (ROOT / file).read_text()
    start = re.search(rf"^ *(?:pub(?:\(\w+\))? )?fn {function}\b", source, re.MULTILINE)
    assert start is not None, f"{file} has no function {function}"
    depth, at = 0, source.index("{", start.start())
    for end in range(at, len(source)):
        depth += {"{": 1, "}": -1}.get(source[end], 0)
        if depth == 0:
            return source[start.start() : end + 1].splitlines()
    pytest.fail(f"{file}: {function} does not end")


def test_every_station_exists_and_fits_a_screen() -> None:
    stations = [station for journey in journeys() for station in journey]

    assert len(stations) >= 25
    lengths = {f"{file}: {function}": len(body(file, function)) for file, function in stations}
    assert {station: n for station, n in lengths.items() if n > MOST_LINES} == {}


def test_every_station_calls_the_next() -> None:
    broken = [
        f"{here[1]} does not call {there[1]}"
        for journey in journeys()
        for here, there in pairwise(journey)
        if not re.search(rf"\b{there[1]}\(", "\n".join(body(*here)))
    ]

    assert broken == []


def test_every_link_leads_to_a_file() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    targets = re.findall(r"\]\(([\w./-]+)\)", text)

    assert [target for target in targets if not (ROOT / target).exists()] == []
