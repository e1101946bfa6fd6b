"""What the benchmark programs print, read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["QUIET", "counts", "distributions", "python", "ratios", "times"]

QUIET: Final = 0.25
"""Spread of a peer beyond which a comparison says nothing."""

_UNITS: Final = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}
_ROW: Final = re.compile(r"^(?P<tree>[│├╰─\s]*)(?P<name>[\w ]+?)\s{2,}(?P<rest>.*)$")
_FASTEST: Final = re.compile(r"(?P<number>[\d.]+) (?P<unit>ns|µs|ms|s)\b")
_RATE: Final = re.compile(r"(?P<number>[\d.]+) (?P<unit>[KMG]?)item/s")
_SCALES: Final = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}
_STATION: Final = re.compile(r"^instructions::stations::(?P<name>\w+) \w+?_(?P<units>\d+):")
_COUNT: Final = re.compile(r"Instructions:\s+(?P<count>\d+)")
_NAME, _CASE = 3, 6
"""Widths of what stands before a benchmark's and a case's name."""


def ratios(file: Path) -> list[dict[str, Any]]:
    """Read comparisons."""
    return [row for row in _rows(file) if "ours" in row]


def distributions(file: Path) -> list[dict[str, Any]]:
    """Read how long calls took."""
    return [row for row in _rows(file) if "distribution" in row]


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]


def python(file: Path) -> list[dict[str, Any]]:
    """Read pytest-benchmark's report: comparisons, each put together from its sides and turns."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for run in json.loads(file.read_text())["benchmarks"] if file.exists() else []:
        info, stats = run["extra_info"], run["stats"]
        key = (info["what"], info["case"], info["peer"])
        named = dict(zip(("name", "case", "peer"), key, strict=True), goal=info["goal"])
        row = rows.setdefault(key, {**named, "ours": [], "reference": [], "spread": 0.0})
        side = "ours" if info["side"] == "ours" else "reference"
        row[side].append(info.get("nanos", stats["min"] * 1e9 / info["units"]))
        if side == "reference" and "nanos" not in info:
            row["spread"] = max(row["spread"], stats["iqr"] / stats["median"])
    return [_put_together(row) for row in rows.values() if row["ours"] and row["reference"]]


def _put_together(row: dict[str, Any]) -> dict[str, Any]:
    """Let the least of the turns count; how far those of the peer are apart is spread, too."""
    theirs = row["reference"]
    spread = max(row["spread"], max(theirs) / min(theirs) - 1)
    least = {"ours": min(row["ours"]), "reference": min(theirs)}
    return {**row, **least, "spread": spread, "quiet": spread <= QUIET}


def times(file: Path) -> dict[str, dict[str, float]]:
    """Read divan's table: the least nanoseconds of each benchmark and case, per item."""
    found: dict[str, dict[str, float]] = {}
    benchmark, case = "", ""
    for line in file.read_text().splitlines():
        rate = _RATE.search(line)
        if rate is not None and case:
            items = float(rate["number"]) * _SCALES[rate["unit"]]
            found[benchmark][case] = 1e9 / items
            case = ""
            continue
        row = _ROW.match(line)
        if row is None or "fastest" in line:
            continue
        if len(row["tree"]) <= _NAME:
            benchmark, case = row["name"].strip(), ""
        else:
            case = row["name"].strip()
        fastest = _FASTEST.search(row["rest"])
        if fastest is not None:
            nanos = float(fastest["number"]) * _UNITS[fastest["unit"]]
            found.setdefault(benchmark, {})[case] = nanos
    return found


def counts(file: Path) -> dict[str, float]:
    """Read gungraun's report: instructions per packet or query."""
    found: dict[str, float] = {}
    name, units = "", 1
    for line in file.read_text().splitlines():
        if (station := _STATION.match(line)) is not None:
            name, units = station["name"], int(station["units"])
        elif name and (count := _COUNT.search(line)) is not None:
            found[name] = int(count["count"]) / units
            name = ""
    return found
