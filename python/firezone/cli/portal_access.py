"""`firezone portal policy`, `token`, `access` and `audit`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from .portal_store import Portal, checked, done, installed, show, show_one
from .roles import json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from firezone.portal.database import Scope
    from firezone.portal.model import Policy, Token
    from firezone.portal.store import Store

__all__ = ["COMMANDS"]

_POLICY: Final = ("id", "group_id", "resource_id", "disabled_at", "description")
_TOKEN: Final = ("name", "kind", "expires_at", "revoked_at", "last_used_at", "id")
_ACCESS: Final = ("client_id", "resource_id", "gateway_id", "policy_id", "expires_at")
_AUDIT: Final = ("at", "actor", "action", "object_id")


@click.group()
def policy() -> None:
    """Show and change policies: which group reaches which resource, and when."""


@policy.command("list")
@json_option
@click.pass_obj
def list_policies(portal: Portal, *, as_json: bool) -> None:
    """Show all policies."""
    with installed():
        from firezone.portal.outputs import PolicyOutput
        from firezone.portal.store import access as policies

    found = portal.read(policies.list_policies)
    show("policies", map(PolicyOutput.of, found), _POLICY, as_json=as_json)


def _conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say when a policy applies."""
    options = (
        click.option(
            "--when", "windows", multiple=True, help="Like 'mon-fri 08:00-18:00 Europe/Berlin'."
        ),
        click.option("--from", "networks", multiple=True, help="Network of the Client's address."),
        click.option("--verified", is_flag=True, help="Only Clients that somebody vouches for."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@policy.command("create")
@click.option("--group", required=True, help="Name of the group.")
@click.option("--resource", required=True, help="Name of the resource.")
@click.option("--description", help="Why.")
@_conditions
@json_option
@click.pass_obj
def create_policy(
    portal: Portal,
    group: str,
    resource: str,
    description: str | None,
    windows: tuple[str, ...],
    networks: tuple[str, ...],
    *,
    verified: bool,
    as_json: bool,
) -> None:
    """Let a group reach a resource; Clients that run see it at once."""
    with installed():
        from firezone.portal.inputs import PolicyInput
        from firezone.portal.store import access as policies

    conditions = {"time_windows": windows, "remote_ip": networks, "client_verified": verified}
    given = checked(
        PolicyInput,
        group=group,
        resource=resource,
        description=description,
        conditions=conditions,
    )
    made = portal.change(lambda scope: policies.create_policy(scope, given))
    _tell(made, as_json=as_json)


@policy.command("conditions")
@click.argument("policy_id", metavar="ID")
@_conditions
@json_option
@click.pass_obj
def change_conditions(
    portal: Portal,
    policy_id: str,
    windows: tuple[str, ...],
    networks: tuple[str, ...],
    *,
    verified: bool,
    as_json: bool,
) -> None:
    """Say anew when a policy applies: what it granted ends, and is asked for again."""
    conditions = {"time_windows": windows, "remote_ip": networks, "client_verified": verified}
    _tell(_changed(portal, policy_id, conditions=conditions), as_json=as_json)


@policy.command()
@click.argument("policy_id", metavar="ID")
@json_option
@click.pass_obj
def disable(portal: Portal, policy_id: str, *, as_json: bool) -> None:
    """Let a policy grant nothing: what it granted ends at once."""
    _tell(_changed(portal, policy_id, disabled=True), as_json=as_json)


@policy.command()
@click.argument("policy_id", metavar="ID")
@json_option
@click.pass_obj
def enable(portal: Portal, policy_id: str, *, as_json: bool) -> None:
    """Let a policy grant again."""
    _tell(_changed(portal, policy_id, disabled=False), as_json=as_json)


@policy.command("delete")
@click.argument("policy_id", metavar="ID")
@json_option
@click.pass_obj
def delete_policy(portal: Portal, policy_id: str, *, as_json: bool) -> None:
    """Delete a policy: what it granted ends at once."""
    with installed():
        from firezone.portal.store import access as policies

    portal.change(lambda scope: policies.delete_policy(scope, policy_id))
    done("policy.delete", as_json=as_json)


def _changed(portal: Portal, policy_id: str, **given: object) -> Policy:
    with installed():
        from firezone.portal.inputs import PolicyChange
        from firezone.portal.store import access as policies

    wanted = checked(PolicyChange, **given)
    return portal.change(lambda scope: policies.change_policy(scope, policy_id, wanted))


def _tell(changed: Policy, *, as_json: bool) -> None:
    from firezone.portal.outputs import PolicyOutput

    show_one("policy", PolicyOutput.of(changed), as_json=as_json)


@click.group()
def token() -> None:
    """Make, show and revoke tokens."""


@token.command("list")
@json_option
@click.pass_obj
def list_tokens(portal: Portal, *, as_json: bool) -> None:
    """Show what is known of tokens, relays' too; the tokens themselves are kept nowhere."""
    with installed():
        from firezone.portal.outputs import TokenOutput
        from firezone.portal.store import tokens

    async def work(scope: Scope) -> list[Token]:
        return await tokens.list_tokens(scope) + await tokens.list_relay_tokens(scope)

    show("tokens", map(TokenOutput.of, portal.read(work)), _TOKEN, as_json=as_json)


@token.command("create")
@click.argument("kind", type=click.Choice(["client", "gateway", "api", "relay"]))
@click.option("--name", default="made on the command line", help="What people call it.")
@click.option("--user", help="E-mail address of the user; for client and api.")
@click.option("--site", help="Name of the site; for gateway.")
@click.option("--read-only", is_flag=True, help="For api: it changes nothing.")
@click.option("--days", type=click.IntRange(1, 3660), help="How long it lives.")
@json_option
@click.pass_obj
def create_token(
    portal: Portal,
    kind: str,
    name: str,
    user: str | None,
    site: str | None,
    days: int | None,
    *,
    read_only: bool,
    as_json: bool,
) -> None:
    """Make a token and print it: it is shown this once."""
    with installed():
        from firezone.portal.inputs import TokenInput
        from firezone.portal.store import tokens

    if kind == "relay":
        token_id, secret = portal.whole(lambda store: _relay_token(store, name))
    else:
        given = checked(
            TokenInput,
            kind=kind,
            name=name,
            user=user,
            site=site,
            scopes=["read"] if read_only else ["read", "write"],
            lifetime=None if days is None else days * 86400,
        )
        known, secret = portal.change(lambda scope: tokens.create_token(scope, given))
        token_id = known.id
    if as_json:
        document = {"schema": "firezone.portal.new_token/1", "id": token_id, "token": secret}
        click.echo(json.dumps(document))
    else:
        click.echo(secret)


async def _relay_token(store: Store, name: str) -> tuple[str, str]:
    import time

    from firezone.portal.store import tokens

    async with store.database.wide(int(time.time())) as scope:
        return await tokens.create_relay_token(scope.connection, name, scope.now)


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
@click.pass_obj
def revoke(portal: Portal, token_id: str, *, as_json: bool) -> None:
    """Revoke a token: its sessions close, its accesses end."""
    with installed():
        from firezone.portal.outputs import TokenOutput
        from firezone.portal.store import tokens

    async def work(scope: Scope) -> Token:
        relays = await tokens.revoke_relay_token(scope, token_id)
        return relays or await tokens.revoke_token(scope, token_id)

    show_one("token", TokenOutput.of(portal.change(work)), as_json=as_json)


@click.command()
@json_option
@click.pass_obj
def access(portal: Portal, *, as_json: bool) -> None:
    """Show who reaches what now."""
    with installed():
        from firezone.portal.outputs import AccessOutput
        from firezone.portal.store.records import current_access

    found = portal.read(current_access)
    show("access", map(AccessOutput.of, found), _ACCESS, as_json=as_json)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@click.pass_obj
def audit(portal: Portal, limit: int, *, as_json: bool) -> None:
    """Show what was changed, by whom; the newest first."""
    with installed():
        from firezone.portal.store.records import read_audit

    async def work(scope: Scope) -> list[Any]:
        return list(await read_audit(scope, before=None, limit=limit))

    show("audit", portal.read(work), _AUDIT, as_json=as_json)


COMMANDS: Final = (policy, token, access, audit)
