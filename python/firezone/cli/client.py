"""`firezone client`: run a Client on this host, look at it, end it."""

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

__all__ = ["client"]


@click.group()
def client() -> None:
    """Run a Client on this host: names and networks of its file lead into the tunnel."""


@client.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="The file to read.  [default: /etc/firezone/client.toml]",
)
@click.option(
    "--dns-control",
    type=click.Choice(("systemd-resolved", "etc-resolv-conf", "disabled")),
    help="How programs of this host come to ask the Client.",
)
@click.option("--metrics", help="Serve metrics there, like 127.0.0.1:9090.")
@take_over_option
def up(
    *, file: Path | None, dns_control: str | None, metrics: str | None, takes_over: bool
) -> None:
    """Run until Ctrl-C, SIGTERM or `firezone client down`; SIGHUP reads the file again."""
    flags: dict[str, object] = {"dns_control": dns_control, "metrics": metrics}
    run_role("client", file, flags, takes_over=takes_over)


@client.command()
@socket_option
@json_option
def down(*, path: Path | None, as_json: bool) -> None:
    """End the running Client; the host is then as it was before."""
    command_role("client", path, "stop", as_json=as_json)


@client.command()
@socket_option
@json_option
def reload(*, path: Path | None, as_json: bool) -> None:
    """Read the file again; flows that are still allowed go on."""
    command_role("client", path, "reload", as_json=as_json)


@client.command()
@socket_option
@json_option
def status(*, path: Path | None, as_json: bool) -> None:
    """Show the running Client: its key, resources, Gateways."""
    show_status("client", path, as_json=as_json)


add_service_commands(client, "client")
