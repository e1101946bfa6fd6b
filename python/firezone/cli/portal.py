"""`firezone portal`: keep who may reach what, and serve Clients and Gateways.

The commands work on the database itself: who may read its file is its administrator. A portal that
runs on it learns of each change at once.
"""

from __future__ import annotations

from pathlib import Path

import click

from . import portal_access, portal_network, portal_people, portal_run
from .portal_store import Portal

__all__ = ["portal"]


@click.group()
@click.option(
    "--database",
    metavar="URL",
    help="sqlite:///path or postgresql://…; a password belongs into the file of settings.",
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="The file of settings.  [default: /etc/firezone/portal.toml]",
)
@click.option("--account", metavar="NAME", help="Short name of the account, if there are several.")
@click.pass_context
def portal(
    context: click.Context, database: str | None, file: Path | None, account: str | None
) -> None:
    """Keep who may reach what, and serve Clients and Gateways."""
    context.obj = Portal(database, file, account)


for _command in (
    *portal_run.COMMANDS,
    *portal_people.COMMANDS,
    *portal_network.COMMANDS,
    *portal_access.COMMANDS,
):
    portal.add_command(_command)
