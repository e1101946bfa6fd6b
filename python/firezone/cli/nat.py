"""`firezone nat`: a look into the DNS resource NAT of a running endpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["nat"]

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "resources": ("name", "resource_name", "gateway", "ipv4", "ipv6", "proxies"),
    "translations": ("client", "name", "proxy", "real", "state"),
    "flows": (
        "client",
        "name",
        "protocol",
        "client_port",
        "proxy",
        "real",
        "remote_port",
        "sent_bytes",
        "received_bytes",
        "duration",
        "idle",
    ),
}
_ROLES: Final = {"resources": "client", "translations": "gateway", "flows": "gateway"}


@click.group()
def nat() -> None:
    """Look into a running endpoint's DNS resource NAT."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="Write JSON.")(command)
    return click.option(
        "--socket",
        "path",
        type=click.Path(path_type=Path),
        help="The endpoint's control socket.  [default: of the role that runs here]",
    )(command)


@nat.command()
@_options
def resources(*, path: Path | None, as_json: bool) -> None:
    """Show the names of a Client: their proxy addresses and the state of each family."""
    _show("resources", path, as_json=as_json)


@nat.command()
@_options
def translations(*, path: Path | None, as_json: bool) -> None:
    """Show what a Gateway translates: proxy address to real address, per Client."""
    _show("translations", path, as_json=as_json)


@nat.command()
@_options
def flows(*, path: Path | None, as_json: bool) -> None:
    """Show the flows of a Gateway."""
    _show("flows", path, as_json=as_json)


def _show(what: str, path: Path | None, *, as_json: bool) -> None:
    from firezone.control import ControlClient, socket_path  # noqa: PLC0415

    with ControlClient(path or socket_path(_ROLES[what])) as client:
        rows = client.call(f"nat.{what}")
    if as_json:
        click.echo(json.dumps({"schema": f"firezone.nat.{what}/1", what: rows}, indent=2))
    else:
        _print_table(_COLUMNS[what], rows)


def _print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
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
