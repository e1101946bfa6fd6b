"""`firezone version`."""

from __future__ import annotations

import json
import platform

import click

from firezone import __version__

__all__ = ["version"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def version(*, as_json: bool) -> None:
    """Show the version of firezone, of Python and of the system."""
    parts = {
        "firezone": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    if as_json:
        click.echo(json.dumps({"schema": "firezone.version/1", **parts}))
        return
    for name, value in parts.items():
        click.echo(f"{name} {value}")
