"""`firezone client|gateway enable-service` and `disable-service`: a role as a systemd service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from .roles import json_option

if TYPE_CHECKING:
    from firezone.host.dns.control import Method
    from firezone.host.journal import Role
    from firezone.host.service import Action

__all__ = ["add_service_commands"]

SCHEMA: Final = "firezone.service/1"

_dry_run_option = click.option("--dry-run", is_flag=True, help="Only tell what would be done.")


def add_service_commands(group: click.Group, role: Role) -> None:
    """Add both commands to those of a role."""
    enable = _enable(role)
    if role == "client":
        methods = ("systemd-resolved", "etc-resolv-conf", "disabled")
        enable = click.option(
            "--dns-control",
            "dns_control",
            type=click.Choice(methods),
            default="systemd-resolved",
            show_default=True,
            help="How programs of this host come to ask the Client; it says who it runs as.",
        )(enable)
    group.add_command(enable)
    group.add_command(_disable(role))


def _enable(role: Role) -> click.Command:
    @click.command("enable-service", help=f"Run the {role} now and at every boot, by systemd.")
    @_dry_run_option
    @json_option
    def enable(*, dry_run: bool, as_json: bool, dns_control: Method = "disabled") -> None:
        from firezone.host.service import enable_service  # noqa: PLC0415

        actions = enable_service(role, dry_run=dry_run, dns_control=dns_control)
        _tell(actions, dry_run=dry_run, as_json=as_json)

    return enable


def _disable(role: Role) -> click.Command:
    @click.command("disable-service", help=f"End the {role} and run it at no boot.")
    @_dry_run_option
    @json_option
    def disable(*, dry_run: bool, as_json: bool) -> None:
        from firezone.host.service import disable_service  # noqa: PLC0415

        _tell(disable_service(role, dry_run=dry_run), dry_run=dry_run, as_json=as_json)

    return disable


def _tell(actions: list[Action], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "command": list(action.command),
                "path": str(action.path) if action.path else None,
                "text": action.text,
            }
            for action in actions
        ]
        click.echo(json.dumps({"schema": SCHEMA, "dry_run": dry_run, "actions": rows}, indent=2))
        return
    for action in actions:
        click.echo(str(action))
        if dry_run and action.text is not None:
            click.echo("".join(f"    {line}\n" for line in action.text.splitlines()), nl=False)
