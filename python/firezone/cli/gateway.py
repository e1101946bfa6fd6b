"""`firezone gateway`: run a Gateway on this host, look at it, end it."""

from __future__ import annotations

from pathlib import Path

import click

from .roles import (
    command_role,
    json_option,
    run_role,
    show_status,
    socket_option,
    take_over_option,
)
from .service import add_service_commands

__all__ = ["gateway"]


@click.group()
def gateway() -> None:
    """Run a Gateway on this host: Clients of its file reach names and networks of its site."""


@gateway.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="The file to read.  [default: /etc/firezone/gateway.toml]",
)
@click.option("--metrics", help="Serve metrics there, like 127.0.0.1:9090.")
@take_over_option
def run(*, file: Path | None, metrics: str | None, takes_over: bool) -> None:
    """Run until Ctrl-C or SIGTERM; SIGHUP reads the file again."""
    run_role("gateway", file, {"metrics": metrics}, takes_over=takes_over)


@gateway.command()
@socket_option
@json_option
def stop(*, path: Path | None, as_json: bool) -> None:
    """End the running Gateway; the host is then as it was before."""
    command_role("gateway", path, "stop", as_json=as_json)


@gateway.command()
@socket_option
@json_option
def reload(*, path: Path | None, as_json: bool) -> None:
    """Read the file again; flows that are still allowed go on."""
    command_role("gateway", path, "reload", as_json=as_json)


@gateway.command()
@socket_option
@json_option
def status(*, path: Path | None, as_json: bool) -> None:
    """Show the running Gateway: its key and its Clients."""
    show_status("gateway", path, as_json=as_json)


add_service_commands(gateway, "gateway")
