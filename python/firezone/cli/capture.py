"""`firezone debug capture`: the packets inside a running endpoint's tunnel, for tshark."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import click

from .roles import call_running, json_option, socket_option
from .units import DURATION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from firezone.tap import Tap

__all__ = ["capture"]

_LOOK: Final = 0.2
"""Seconds between two looks at the clock and at Ctrl-C."""
_NAMES: Final = 5.0
"""Seconds between two looks for names that have come since."""


@click.command()
@click.option(
    "-w", "--write", "target", metavar="FILE", required=True,
    help="The pcapng file, overwritten; - writes to stdout, for `| tshark -r -`.",
)  # fmt: skip
@click.option("-c", "--count", type=click.IntRange(1), help="End after so many packets.")
@click.option("--duration", type=DURATION, help="End after this time, like 30s.")
@click.option(
    "--snap-len", type=click.IntRange(64, 262_144), default=65_535, show_default=True,
    help="Bytes that are kept of each packet.",
)  # fmt: skip
@socket_option
@json_option
def capture(
    *,
    target: str,
    count: int | None,
    duration: float | None,
    snap_len: int,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the packets that enter and leave the tunnel into a pcapng file, until Ctrl-C.

    They are not encrypted, and stand beside the names of their addresses: at a Client those of
    proxy addresses, at a Gateway also those of real ones. Runs beside the endpoint, as root.
    """
    from firezone.tap import Tap  # noqa: PLC0415

    device = call_running(path, "status")["tun"]
    file = "/dev/stdout" if target == "-" else target
    packets = 0
    with Tap(device, file, snap_len=snap_len) as tap:
        click.echo(f"looking at {device}; Ctrl-C ends it", err=True)
        try:
            try:
                for written in _written(tap, path, count, duration):
                    packets += written
            except KeyboardInterrupt:
                click.echo("", err=True)
            tap.name(_names(path))
        finally:
            # Also of what ended too early: with the endpoint, or on a full disk.
            counted = {"packets": packets, "missed": tap.missed}
            _tell({"device": device, "file": target, **counted}, as_json=as_json)


def _written(
    tap: Tap, path: Path | None, count: int | None, duration: float | None
) -> Iterator[int]:
    """Write packets until there are enough; yield how many each time, so that none is uncounted."""
    end = None if duration is None else time.monotonic() + duration
    left, names_at = count, 0.0
    while left is None or left > 0:
        now = time.monotonic()
        if end is not None and now >= end:
            break
        if now >= names_at:
            tap.name(_names(path))
            names_at = now + _NAMES
        patience = _LOOK if end is None else min(_LOOK, end - now)
        written = tap.write(patience=patience, most=left)
        if left is not None:
            left -= written
        yield written


def _names(path: Path | None) -> Iterator[tuple[str, str]]:
    """Yield addresses and their names, as the endpoint knows them now; none while it ends."""
    from firezone.errors import FirezoneError  # noqa: PLC0415

    try:
        status = call_running(path, "status")
        method = "nat.resources" if "sentinels" in status else "nat.translations"
        rows: list[dict[str, Any]] = call_running(path, method)
    except FirezoneError:
        return
    for row in rows:
        addresses = row["proxies"] if "proxies" in row else (row["proxy"], row["real"])
        yield from ((address, row["name"]) for address in addresses if address is not None)


def _tell(document: dict[str, Any], *, as_json: bool) -> None:
    """Write what was captured; not to stdout if packets go there."""
    if as_json:
        text = json.dumps({"schema": "firezone.debug.capture/1", **document})
        click.echo(text, err=document["file"] == "-")
    else:
        counted = "{packets} packets of {device}, {missed} missed".format(**document)
        click.echo(counted, err=True)
