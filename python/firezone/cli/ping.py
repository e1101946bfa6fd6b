"""`firezone ping`: the system's ping, through the tunnel."""

from __future__ import annotations

import json
import os
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import click

from .roles import call, json_option, socket_option

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

__all__ = ["ping"]

_PACKETS: Final = re.compile(r"(\d+) packets transmitted, (\d+) received")
_TIMES: Final = re.compile(r"= ([\d.]+)/([\d.]+)/([\d.]+)")


@click.command()
@click.argument("target", metavar="NAME|ADDRESS")
@click.option("-c", "--count", type=click.IntRange(1), default=4, show_default=True)
@click.option("-4", "family", flag_value=4, type=int, help="By IPv4.")
@click.option("-6", "family", flag_value=6, type=int, help="By IPv6.")
@socket_option
@json_option
def ping(*, target: str, count: int, family: int | None, path: Path | None, as_json: bool) -> int:
    """Ping a name or an address that a resource covers; the exit code is that of ping."""
    from firezone.errors import AccessDenied, ResourceNotFound  # noqa: PLC0415

    verdict = call("client", path, "explain", target=target, protocol="icmp")[0]["verdict"]
    if verdict == "no_resource":
        hint = "firezone client status lists the resources"
        raise ResourceNotFound(f"no resource covers {target}", resource=target, hint=hint)
    if verdict == "prohibited":
        hint = f"firezone explain {target} --protocol icmp tells more"
        raise AccessDenied(f"no resource lets ICMP pass to {target}", resource=target, hint=hint)
    address = _address(target, family, path)
    done = _pinged(address, count, captures=as_json)
    if as_json:
        click.echo(
            json.dumps({"schema": "firezone.ping/1", "address": address, **_read(done.stdout)})
        )
    return done.returncode


def _pinged(address: str, count: int, *, captures: bool) -> subprocess.CompletedProcess[str]:
    import subprocess  # noqa: PLC0415

    from firezone.errors import FirezoneError  # noqa: PLC0415

    command = ["ping", "-n", "-c", str(count), address]
    out = subprocess.PIPE if captures else None
    # Numbers with a point, whatever language the host speaks.
    environment = {**os.environ, "LC_ALL": "C"} if captures else None
    try:
        return subprocess.run(command, check=False, stdout=out, text=True, env=environment)  # noqa: S603
    except FileNotFoundError as error:
        raise FirezoneError("there is no program ping", hint="install iputils-ping") from error


def _read(said: str) -> dict[str, object]:
    """Return what ping's summary says: packets, and milliseconds if an answer came."""
    packets = _PACKETS.search(said)
    times = _TIMES.search(said)
    names = ("min_ms", "avg_ms", "max_ms")
    values = map(float, times.groups()) if times else (None, None, None)
    return {
        "sent": int(packets[1]) if packets else None,
        "received": int(packets[2]) if packets else None,
        **dict(zip(names, values, strict=True)),
    }


def _address(target: str, family: int | None, path: Path | None) -> str:
    from firezone.errors import ResourceNotFound  # noqa: PLC0415
    from firezone.sentinel import ask  # noqa: PLC0415

    try:
        return str(ip_address(target))
    except ValueError:
        sentinel = call("client", path, "status")["sentinels"][0]
    kinds = {None: ("A", "AAAA"), 4: ("A",), 6: ("AAAA",)}[family]
    rcode = ""
    for kind in kinds:
        reply = ask(sentinel, target, kind)
        if reply.addresses:
            return reply.addresses[0]
        rcode = reply.rcode
    hint = "the site does not know it; ask the site's administrator"
    raise ResourceNotFound(f"{target} has no address: {rcode}", resource=target, hint=hint)
