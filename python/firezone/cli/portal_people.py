"""`firezone portal user` and `group`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from .portal_store import Portal, checked, done, installed, show, show_one
from .roles import json_option

if TYPE_CHECKING:
    from firezone.portal.database import Scope
    from firezone.portal.model import Group, User

__all__ = ["COMMANDS"]

_USER: Final = ("name", "email", "role", "disabled_at", "id")
_GROUP: Final = ("name", "is_everyone", "id")


@click.group()
def user() -> None:
    """Show and change users."""


@user.command("list")
@json_option
@click.pass_obj
def list_users(portal: Portal, *, as_json: bool) -> None:
    """Show all users."""
    with installed():
        from firezone.portal.outputs import UserOutput
        from firezone.portal.store import people

    found = portal.read(people.list_users)
    show("users", map(UserOutput.of, found), _USER, as_json=as_json)


@user.command()
@click.argument("email")
@click.option("--name", help="What people call them.  [default: the address]")
@click.option("--role", default="member", type=click.Choice(["member", "viewer", "admin"]))
@json_option
@click.pass_obj
def create(portal: Portal, email: str, name: str | None, role: str, *, as_json: bool) -> None:
    """Make a user; `set-password` lets them sign in at the page."""
    with installed():
        from firezone.portal.inputs import UserInput
        from firezone.portal.store import people

    given = checked(UserInput, email=email, name=name or email, role=role)
    _tell_user(portal.change(lambda scope: people.create_user(scope, given)), as_json=as_json)


@user.command()
@click.argument("email")
@click.option("--name", help="What people call them.")
@click.option("--role", type=click.Choice(["member", "viewer", "admin"]))
@json_option
@click.pass_obj
def change(
    portal: Portal, email: str, name: str | None, role: str | None, *, as_json: bool
) -> None:
    """Change a user's name or role."""
    _tell_user(_changed(portal, email, name=name, role=role), as_json=as_json)


@user.command()
@click.argument("email")
@json_option
@click.pass_obj
def disable(portal: Portal, email: str, *, as_json: bool) -> None:
    """Let a user do nothing any more: accesses end, tokens are revoked."""
    _tell_user(_changed(portal, email, disabled=True), as_json=as_json)


@user.command()
@click.argument("email")
@json_option
@click.pass_obj
def enable(portal: Portal, email: str, *, as_json: bool) -> None:
    """Let a user do things again, with new tokens."""
    _tell_user(_changed(portal, email, disabled=False), as_json=as_json)


@user.command("set-password")
@click.argument("email")
@json_option
@click.pass_obj
def set_password(portal: Portal, email: str, *, as_json: bool) -> None:
    """Give a user a password for the page; it is asked for, or read from a pipe."""
    if sys.stdin.isatty():
        password = click.prompt("password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    _changed(portal, email, password=password)
    done("user.set_password", as_json=as_json)


@user.command()
@click.argument("email")
@json_option
@click.pass_obj
def delete(portal: Portal, email: str, *, as_json: bool) -> None:
    """Delete a user with their Clients and tokens."""
    with installed():
        from firezone.portal.store import people

    async def work(scope: Scope) -> None:
        await people.delete_user(scope, (await people.find_user(scope, email)).id)

    portal.change(work)
    done("user.delete", as_json=as_json)


def _changed(portal: Portal, email: str, **given: object) -> User:
    with installed():
        from firezone.portal.inputs import UserChange
        from firezone.portal.store import people

    wanted = checked(UserChange, **given)

    async def work(scope: Scope) -> User:
        found = await people.find_user(scope, email)
        return await people.change_user(scope, found.id, wanted)

    return portal.change(work)


def _tell_user(changed: User, *, as_json: bool) -> None:
    from firezone.portal.outputs import UserOutput

    show_one("user", UserOutput.of(changed), as_json=as_json)


@click.group()
def group() -> None:
    """Show and change groups, and who is in them."""


@group.command("list")
@json_option
@click.pass_obj
def list_groups(portal: Portal, *, as_json: bool) -> None:
    """Show all groups."""
    with installed():
        from firezone.portal.outputs import GroupOutput
        from firezone.portal.store import people

    found = portal.read(people.list_groups)
    show("groups", map(GroupOutput.of, found), _GROUP, as_json=as_json)


@group.command("create")
@click.argument("name")
@json_option
@click.pass_obj
def create_group(portal: Portal, name: str, *, as_json: bool) -> None:
    """Make a group without members."""
    with installed():
        from firezone.portal.inputs import GroupInput
        from firezone.portal.outputs import GroupOutput
        from firezone.portal.store import people

    given = checked(GroupInput, name=name)
    made: Group = portal.change(lambda scope: people.create_group(scope, given))
    show_one("group", GroupOutput.of(made), as_json=as_json)


@group.command("delete")
@click.argument("name")
@json_option
@click.pass_obj
def delete_group(portal: Portal, name: str, *, as_json: bool) -> None:
    """Delete a group with its policies: what they granted ends."""
    with installed():
        from firezone.portal.store import people

    async def work(scope: Scope) -> None:
        await people.delete_group(scope, (await people.find_group(scope, name)).id)

    portal.change(work)
    done("group.delete", as_json=as_json)


@group.command()
@click.argument("name")
@json_option
@click.pass_obj
def members(portal: Portal, name: str, *, as_json: bool) -> None:
    """Show the users of a group."""
    with installed():
        from firezone.portal.outputs import UserOutput
        from firezone.portal.store import people

    async def work(scope: Scope) -> list[User]:
        return await people.members(scope, (await people.find_group(scope, name)).id)

    show("users", map(UserOutput.of, portal.read(work)), _USER, as_json=as_json)


@group.command()
@click.argument("name")
@click.argument("email")
@json_option
@click.pass_obj
def add(portal: Portal, name: str, email: str, *, as_json: bool) -> None:
    """Put a user into a group."""
    _membership(portal, name, email, joins=True)
    done("group.add", as_json=as_json)


@group.command()
@click.argument("name")
@click.argument("email")
@json_option
@click.pass_obj
def remove(portal: Portal, name: str, email: str, *, as_json: bool) -> None:
    """Take a user out of a group: what they reach by it ends."""
    _membership(portal, name, email, joins=False)
    done("group.remove", as_json=as_json)


def _membership(portal: Portal, name: str, email: str, *, joins: bool) -> None:
    with installed():
        from firezone.portal.store import people

    async def work(scope: Scope) -> None:
        found = await people.find_group(scope, name)
        member = await people.find_user(scope, email)
        act = people.join_group if joins else people.leave_group
        await act(scope, found.id, member.id)

    portal.change(work)


@click.command()
@click.option("--name", help="What people call it.")
@click.option("--search-domain", help="What Clients complete short names with; '' for none.")
@click.option("--dns", "servers", multiple=True, help="Server that Clients ask for other names.")
@click.option("--system-dns", is_flag=True, help="Clients ask their system's servers.")
@json_option
@click.pass_obj
def account(
    portal: Portal,
    name: str | None,
    search_domain: str | None,
    servers: tuple[str, ...],
    *,
    system_dns: bool,
    as_json: bool,
) -> None:
    """Show the account, after changing what is given."""
    with installed():
        from firezone.portal.first import change_account, find_account
        from firezone.portal.inputs import AccountChange
        from firezone.portal.outputs import AccountOutput

    upstream = () if system_dns else servers or None
    given = checked(AccountChange, name=name, search_domain=search_domain, upstream_dns=upstream)
    if given.model_fields_set:
        found = portal.change(lambda scope: change_account(scope, given))
    else:
        found = portal.read(find_account)
    show_one("account", AccountOutput.of(found), as_json=as_json)


COMMANDS: Final = (account, user, group)
