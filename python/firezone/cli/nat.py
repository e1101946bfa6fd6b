"""`firezone nat`: a look into the DNS resource NAT of a running endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .table import print_table

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
        print_table(_COLUMNS[what], rows)
