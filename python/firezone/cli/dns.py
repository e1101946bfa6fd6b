"""`firezone dns`: ask the running Client as programs of this host do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .roles import call, json_option, socket_option

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dns"]


@click.group()
def dns() -> None:
    """Ask the running Client for names."""


@dns.command()
@click.argument("name")
@click.argument("kind", metavar="[TYPE]", default="A")
@socket_option
@json_option
def query(*, name: str, kind: str, path: Path | None, as_json: bool) -> None:
    """Ask for NAME and show answer, rcode and time.

    TYPE is A unless it is given; with PTR, NAME may be an address.
    """
    from firezone.sentinel import ask  # noqa: PLC0415

    sentinel = call("client", path, "status")["sentinels"][0]
    reply = ask(sentinel, name, kind)
    if as_json:
        document = {
            "schema": "firezone.dns.query/1",
            "name": name,
            "type": kind.upper(),
            "server": sentinel,
            "rcode": reply.rcode,
            "answer": list(reply.answer),
            "milliseconds": round(reply.milliseconds, 3),
        }
        click.echo(json.dumps(document, indent=2))
        return
    for record in reply.answer:
        click.echo(record)
    click.echo(f"{reply.rcode}, {reply.milliseconds:.1f} ms, from {sentinel}", err=True)
