"""`firezone config`: check and show the settings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from firezone.config import Loaded, Role, Setting

__all__ = ["config"]


@click.group()
def config() -> None:
    """Check and show the settings: flag, environment, file, default, in this order."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="Write JSON.")(command)
    command = click.option(
        "--config",
        "--file",
        "file",
        type=click.Path(path_type=Path),
        help="The file to read.  [default: /etc/firezone/ROLE.toml]",
    )(command)
    return click.option(
        "--role",
        type=click.Choice(("client", "gateway")),
        default="client",
        show_default=True,
        help="Whose settings.",
    )(command)


@config.command()
@_options
def check(*, role: Role, file: Path | None, as_json: bool) -> None:
    """Tell whether the settings and the tables of the file can be used; exit code 3 if not."""
    from firezone.config import default_file  # noqa: PLC0415

    loaded = _load(role, file)
    path = file or default_file(role)
    if path.exists():
        _check_tables(role, path)
    if as_json:
        document = {"schema": "firezone.config.check/1", "role": role, "warnings": loaded.warnings}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"the settings of the {role} are good")


@config.command()
@_options
def show(*, role: Role, file: Path | None, as_json: bool) -> None:
    """Show every setting and where its value came from; secrets are stars."""
    settings = _load(role, file).show()
    if as_json:
        rows = [asdict(setting) for setting in settings]
        document = {"schema": "firezone.config/1", "role": role, "settings": rows}
        click.echo(json.dumps(document, indent=2))
        return
    lines = [(setting.name, _value(setting), setting.origin) for setting in settings]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for name, value, origin in lines:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")


def _load(role: Role, file: Path | None) -> Loaded:
    from firezone.config import load  # noqa: PLC0415

    loaded = load(role, file=file)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded


def _check_tables(role: Role, file: Path) -> None:
    from firezone.endpoint_daemon import checked  # noqa: PLC0415
    from firezone.standalone.tables import read_client, read_gateway  # noqa: PLC0415

    if role == "client":
        checked(file, read_client(file))
    else:
        checked(file, read_gateway(file))


def _value(setting: Setting) -> str:
    value = setting.value
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value} {setting.unit}".rstrip()
