"""What the commands of a running Client and a running Gateway share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .table import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firezone.config import Role
    from firezone.logs import LogPipeline
    from firezone.settings import EndpointSettings

T = TypeVar("T")

__all__ = [
    "PEERS",
    "call",
    "call_running",
    "command_role",
    "json_option",
    "run_role",
    "show_status",
    "socket_option",
    "take_over_option",
]

_FACTS = (
    "public_key",
    "tun",
    "addresses",
    "port",
    "aead",
    "dns_control",
    "sentinels",
    "dns_servers",
)
PEERS = (
    "name",
    "address",
    "connected",
    "last_handshake",
    "sent_bytes",
    "received_bytes",
    "ipv4",
    "ipv6",
)


def socket_option(command: Callable[..., T]) -> Callable[..., T]:
    """Add `--socket`."""
    return click.option(
        "--socket",
        "path",
        type=click.Path(path_type=Path),
        help="The endpoint's control socket.  [default: of the role that runs here]",
    )(command)


def json_option(command: Callable[..., T]) -> Callable[..., T]:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON.")(command)


def call(role: Role, path: Path | None, method: str, **params: object) -> Any:
    """Call a method of a running endpoint."""
    from firezone.control import ControlClient, socket_path  # noqa: PLC0415

    with ControlClient(path or socket_path(role)) as client:
        return client.call(method, **params)


def call_running(path: Path | None, method: str, **params: object) -> Any:
    """Call a method of the endpoint that runs here: a Client, else a Gateway."""
    from firezone.control import socket_path  # noqa: PLC0415

    if path is None and not socket_path("client").exists() and socket_path("gateway").exists():
        return call("gateway", path, method, **params)
    return call("client", path, method, **params)


def command_role(role: Role, path: Path | None, method: str, *, as_json: bool) -> None:
    """Call a method that does something; the exit code, and JSON if wanted, says that it did."""
    call(role, path, method)
    if as_json:
        click.echo(json.dumps({"schema": f"firezone.{role}.{method}/1", "done": True}))


def take_over_option(command: Callable[..., T]) -> Callable[..., T]:
    """Add `--take-over`."""
    return click.option(
        "--take-over",
        "takes_over",
        is_flag=True,
        help="Go on in the place of the one that runs: its flows do not notice.",
    )(command)


def run_role(
    role: Role, file: Path | None, flags: dict[str, object], *, takes_over: bool = False
) -> None:
    """Run an endpoint in the foreground until it is ended."""
    import asyncio  # noqa: PLC0415

    from firezone.config import default_file, load  # noqa: PLC0415
    from firezone.host.privilege import (  # noqa: PLC0415
        CAP_NET_ADMIN,
        allow_real_time,
        keep_only,
        require_net_admin,
    )
    from firezone.logs import open_logs  # noqa: PLC0415

    loaded = load(role, file=file, flags=flags)
    settings = loaded.settings
    require_net_admin("a tunnel")
    # Before the first thread: capabilities are a thread's.
    scheduling = allow_real_time(wanted=settings.scheduling == "realtime")
    keep_only(None, frozenset({CAP_NET_ADMIN}) | scheduling)
    logs = open_logs(
        role,
        level=settings.log_level,
        form=settings.log_format,
        folder=settings.log_dir,
        file_bytes=settings.log_file_size,
        total_bytes=settings.log_total_size,
    )
    try:
        for warning in loaded.warnings:
            logs.logger.warning(warning, event_name="config.doubtful")
        asyncio.run(_main(settings, file or default_file(role), logs, takes_over=takes_over))
    finally:
        logs.close()


async def _main(
    settings: EndpointSettings, file: Path, logs: LogPipeline, *, takes_over: bool
) -> None:
    import asyncio  # noqa: PLC0415
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from firezone.settings import ClientSettings, GatewaySettings  # noqa: PLC0415
    from firezone.thread_names import name_thread  # noqa: PLC0415

    # What blocks for a moment, like files and the kernel's settings, is done there.
    workers = ThreadPoolExecutor(
        thread_name_prefix="fz-worker", initializer=name_thread, initargs=("fz-worker",)
    )
    asyncio.get_running_loop().set_default_executor(workers)
    if settings.api_url is not None:
        await _introduced(settings, file, logs, takes_over=takes_over)
    elif isinstance(settings, ClientSettings):
        from firezone.client_daemon import run_client  # noqa: PLC0415

        await run_client(settings, file, logs, takes_over=takes_over)
    elif isinstance(settings, GatewaySettings):
        from firezone.gateway_daemon import run_gateway  # noqa: PLC0415

        await run_gateway(settings, file, logs, takes_over=takes_over)


def _of_portal(status: dict[str, Any]) -> Iterator[str]:
    portal = status.get("portal")
    if portal is not None:
        state = "connected" if portal["connected"] else f"not reached: {portal['problem']}"
        yield f"portal: {portal['address']}, {state}"


async def _introduced(
    settings: EndpointSettings, file: Path, logs: LogPipeline, *, takes_over: bool
) -> None:
    """Run a role whose peers a portal introduces."""
    from firezone.settings import ClientSettings, GatewaySettings  # noqa: PLC0415

    if isinstance(settings, ClientSettings):
        from firezone.introduced.client import run_client  # noqa: PLC0415

        await run_client(settings, file, logs, takes_over=takes_over)
    elif isinstance(settings, GatewaySettings):
        from firezone.introduced.gateway import run_gateway  # noqa: PLC0415

        await run_gateway(settings, file, logs, takes_over=takes_over)


def show_status(role: Role, path: Path | None, *, as_json: bool) -> None:
    """Write what a running endpoint tells of itself."""
    status = call(role, path, "status")
    if as_json:
        click.echo(json.dumps({"schema": f"firezone.{role}.status/1", **status}, indent=2))
        return
    for name in _FACTS:
        if name in status:
            value = status[name]
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            click.echo(f"{name.replace('_', ' ')}: {text}")
    for line in _of_portal(status):
        click.echo(line)
    for resource in status.get("resources", ()):
        ports = ", ".join(resource["ports"]) or "all ports"
        why = f": {resource['refused']}" if resource.get("refused") else ""
        click.echo(f"resource: {resource['name']} ({resource['address']}, {ports}){why}")
    for gone in status.get("withdrawn", ()):
        click.echo(f"taken away: {gone['name']} ({gone['address']}): {gone['reason']}")
    if status["peers"]:
        print_table(PEERS, status["peers"])
    else:
        click.echo("no peers yet")
