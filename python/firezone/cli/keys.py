"""`firezone keys`: private keys in files, and the public keys that others need."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make private keys, and show the public keys that the other side needs."""


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
def new(*, file: Path) -> None:
    """Write a new private key to FILE, which must not exist, and print its public key."""
    from firezone import keys as key_files  # noqa: PLC0415

    click.echo(key_files.create(file))


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
def show(*, file: Path) -> None:
    """Print the public key of the private key in FILE."""
    from firezone import keys as key_files  # noqa: PLC0415

    click.echo(key_files.public_key(key_files.read(file)))


@keys.command()
def psk() -> None:
    """Print a new preshared key, for the files of both sides."""
    from firezone import keys as key_files  # noqa: PLC0415

    click.echo(key_files.random_key())
