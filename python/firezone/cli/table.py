"""Tables of rows, for people."""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = ["print_table"]


def print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows under their column names: as rich on a terminal, in plain columns otherwise."""
    from firezone.log_lines import visible  # noqa: PLC0415

    cells = [[visible(_cell(row.get(column))) for column in columns] for row in rows]
    headings = [column.replace("_", " ") for column in columns]
    if sys.stdout.isatty():
        _print_rich(headings, cells)
        return
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for line in (headings, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _print_rich(headings: list[str], cells: list[list[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None)
    for line in cells:
        table.add_row(*map(Text, line))
    Console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
