"""`firezone explain`: why a packet would pass or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from .roles import call_running, json_option, socket_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["explain"]

_VERDICTS: Final = {
    "permitted": "would pass",
    "prohibited": "would be refused: no resource permits this port",
    "no_resource": "does not go into the tunnel: no resource covers it",
}
_ACCESS: Final = {
    "authorized": "may be used",
    "requested": "is being asked for",
    "not_requested": "not asked for yet: the first packet does",
}
_STATES: Final = {None: "not announced yet: the first packet does"}


@click.command()
@click.argument("target", metavar="NAME|ADDRESS")
@click.argument("port", type=click.IntRange(0, 65535), default=443)
@click.option("--protocol", type=click.Choice(("tcp", "udp", "icmp")), default="tcp")
@socket_option
@json_option
def explain(*, target: str, port: int, protocol: str, path: Path | None, as_json: bool) -> None:
    """Tell why a packet to NAME and PORT (443) would pass or not.

    The running endpoint answers from what is the case now, and changes none of it.
    """
    rows = call_running(path, "explain", target=target, port=port, protocol=protocol)
    if as_json:
        click.echo(json.dumps({"schema": "firezone.explain/1", "rows": rows}, indent=2))
        return
    from firezone.log_lines import visible  # noqa: PLC0415

    what = protocol if protocol == "icmp" else f"{protocol}/{port}"
    if not rows:
        click.echo(f"{visible(target)} {what}: no Client asked for it yet")
    for row in rows:
        sender = f"from {row.get('client_name', row['client'])} " if "client" in row else ""
        verdict = _VERDICTS[row["verdict"]]
        if "why" in row and row["verdict"] == "permitted":
            verdict = "is permitted, but would not arrive now"
        click.echo(visible(f"{target} {what} {sender}{verdict}"))
        if "why" in row:
            click.echo(visible(f"  {'why:':<10} {row['why']}"))
        for label, text in _of_gateway(row) if "client" in row else _of_client(row):
            click.echo(visible(f"  {label + ':':<10} {text}"))


def _of_client(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for resource in row["resources"]:
        mark = "permits it" if resource["permits"] else "does not permit it"
        chosen = ", chosen" if resource["resource"] == row.get("resource") else ""
        covers = resource["covers"]
        yield "resource", f"{resource['resource_name']} ({covers}) {mark}{chosen}"
    if "access" in row:
        yield "access", _ACCESS.get(row["access"], row["access"])
        gateway = row.get("gateway_name") or row["gateway"]
        if gateway is not None:
            alive = "answers" if row["gateway_alive"] else "does not answer"
            yield "gateway", f"{gateway}, {alive}"
    if row.get("name") and row["verdict"] != "no_resource":
        yield "name", row["name"]
        yield "proxies", ", ".join(row.get("proxies") or ()) or "none yet: the first query does"
        for family in ("ipv4", "ipv6"):
            state = row.get(family)
            yield family, _STATES.get(state) or str(state)
    yield from _live(row)


def _of_gateway(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "resource", str(row.get("resource_name") or row["resource"] or "none permits it")
    if "name" in row:
        yield "name", row["name"]
    for proxy in row.get("proxies", ()):
        yield "proxy", f"{proxy['proxy']} -> {proxy['real'] or '-'} ({proxy['state']})"
    for family in ("ipv4", "ipv6"):
        records = row.get(family)
        if records:
            age = "" if records["age"] is None else f", {records['age']:.1f} s old"
            busy = ", being looked up" if records["looking_up"] else ""
            found = ", ".join(map(str, records["addresses"])) or "no address"
            yield family, f"{found} ({records['state']}{age}{busy})"
    yield from _live(row)


def _live(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "flows", str(row["flows"])
    if "held_packets" in row:
        yield "held", f"{row['held_packets']} packets"
