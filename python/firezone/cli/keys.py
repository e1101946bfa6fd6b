"""`firezone keys`: private keys in files, and the public keys that others need."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .roles import json_option

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make private keys, and show the public keys that the other side needs."""


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def new(*, file: Path, as_json: bool) -> None:
    """Write a new private key to FILE, which must not exist, and print its public key."""
    from firezone import keys as key_files  # noqa: PLC0415

    _tell(key_files.create(file), file, as_json=as_json)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(*, file: Path, as_json: bool) -> None:
    """Print the public key of the private key in FILE."""
    from firezone import keys as key_files  # noqa: PLC0415

    _tell(key_files.public_key(key_files.read(file)), file, as_json=as_json)


@keys.command()
@json_option
def psk(*, as_json: bool) -> None:
    """Print a new preshared key, for the files of both sides."""
    from firezone import keys as key_files  # noqa: PLC0415

    key = key_files.random_key()
    if as_json:
        click.echo(json.dumps({"schema": "firezone.keys.psk/1", "preshared_key": key}))
    else:
        click.echo(key)


def _tell(public_key: str, file: Path, *, as_json: bool) -> None:
    if as_json:
        document = {"schema": "firezone.keys/1", "file": str(file), "public_key": public_key}
        click.echo(json.dumps(document))
    else:
        click.echo(public_key)
