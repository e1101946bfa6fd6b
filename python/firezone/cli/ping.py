"""`firezone ping`: the system's ping, through the tunnel."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from .roles import call, socket_option

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ping"]


@click.command()
@click.argument("target", metavar="NAME|ADDRESS")
@click.option("-c", "--count", type=click.IntRange(1), default=4, show_default=True)
@click.option("-4", "family", flag_value=4, type=int, help="By IPv4.")
@click.option("-6", "family", flag_value=6, type=int, help="By IPv6.")
@socket_option
def ping(*, target: str, count: int, family: int | None, path: Path | None) -> int:
    """Ping a name or an address that a resource covers; the exit code is that of ping."""
    import subprocess  # noqa: PLC0415

    from firezone.errors import AccessDenied, FirezoneError, ResourceNotFound  # noqa: PLC0415

    verdict = call("client", path, "explain", target=target, protocol="icmp")[0]["verdict"]
    if verdict == "no_resource":
        hint = "firezone client status lists the resources"
        raise ResourceNotFound(f"no resource covers {target}", resource=target, hint=hint)
    if verdict == "prohibited":
        hint = f"firezone explain {target} --protocol icmp tells more"
        raise AccessDenied(f"no resource lets ICMP pass to {target}", resource=target, hint=hint)
    address = _address(target, family, path)
    try:
        command = ["ping", "-n", "-c", str(count), address]
        return subprocess.run(command, check=False).returncode  # noqa: S603
    except FileNotFoundError as error:
        raise FirezoneError("there is no program ping", hint="install iputils-ping") from error


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
