"""`firezone debug`: what a running endpoint counts, whom it speaks to, what passes through it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .capture import capture
from .roles import PEERS, call_running, json_option, socket_option
from .table import print_table

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["debug"]


@click.group()
def debug() -> None:
    """Look closely at a running endpoint."""


@debug.command()
@socket_option
@json_option
def peers(*, path: Path | None, as_json: bool) -> None:
    """Show the peers: addresses, sessions, bytes."""
    rows = call_running(path, "status")["peers"]
    if as_json:
        click.echo(json.dumps({"schema": "firezone.debug.peers/1", "peers": rows}, indent=2))
    else:
        print_table((*PEERS, "public_key"), rows)


@debug.command()
@socket_option
@json_option
def metrics(*, path: Path | None, as_json: bool) -> None:
    """Show all counters as Prometheus reads them; with --json as the core has them."""
    if as_json:
        (counters,) = call_running(path, "counters")
        document = {"schema": "firezone.debug.metrics/1", "counters": counters}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(call_running(path, "metrics"), nl=False)


debug.add_command(capture)
