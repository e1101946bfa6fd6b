"""Users, groups, and who is in which."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from firezone.portal.credentials import hash_password
from firezone.portal.database import Conflict, NotFound
from firezone.portal.events import TokenRevoked
from firezone.portal.model import Role
from firezone.portal.revocation import MembershipEnded, PolicyWithdrawn, UserGone
from firezone.portal.revoke import clients_of_groups, clients_of_user, end_access
from firezone.portal.rows import group_of, user_of
from firezone.portal.tables import groups, memberships, policies, tokens, users

from .devices import remove_devices

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Select

    from firezone.portal.database import Scope
    from firezone.portal.inputs import GroupInput, UserChange, UserInput
    from firezone.portal.model import Group, User

__all__ = [
    "change_user",
    "create_group",
    "create_user",
    "delete_group",
    "delete_user",
    "find_group",
    "find_user",
    "join_group",
    "leave_group",
    "list_groups",
    "list_users",
    "members",
    "rename_group",
]


async def list_users(scope: Scope) -> list[User]:
    """Return all users, by name."""
    return [user_of(row) for row in await scope.rows(scope.select(users).order_by(users.c.name))]


async def find_user(scope: Scope, wanted: str) -> User:
    """Return the user with an id or an e-mail address.

    Raises:
        NotFound: There is none.
    """
    return user_of(await scope.named(users, users.c.email, wanted.lower(), "user"))


async def create_user(scope: Scope, given: UserInput) -> User:
    """Make a user, in the group of everyone.

    Raises:
        Conflict: The address is taken.
    """
    taken = await scope.first(scope.select(users).where(users.c.email == given.email))
    if taken is not None:
        raise Conflict(f"{given.email} is a user already", hint="firezone portal user list")
    new = str(uuid.uuid4())
    await scope.run(
        scope.insert(
            users,
            id=new,
            name=given.name,
            email=given.email,
            role=given.role.value,
            password_hash=await _hashed(given.password),
            created_at=scope.now,
        )
    )
    everyone = scope.select(groups, groups.c.id).where(groups.c.is_everyone.is_(True))
    for row in await scope.rows(everyone):
        await scope.run(scope.insert(memberships, user_id=new, group_id=row.id))
    await scope.note("user.created", new, email=given.email, role=given.role.value)
    return await find_user(scope, new)


async def change_user(scope: Scope, user_id: str, given: UserChange) -> User:
    """Change a user; one that is disabled loses every access at once.

    Raises:
        NotFound: There is none.
        Conflict: Nobody would be left who can change anything.
    """
    user = user_of(await scope.must(users, user_id, "user"))
    values: dict[str, object] = {}
    if given.name is not None:
        values["name"] = given.name
    if given.role is not None:
        values["role"] = given.role.value
    if given.password is not None:
        values["password_hash"] = await _hashed(given.password)
    if given.disabled is not None and given.disabled != (user.disabled_at is not None):
        values["disabled_at"] = scope.now if given.disabled else None
    if values:
        await scope.run(scope.update(users, user_id).values(**values))
        await _keep_an_admin(scope)
        told = {name: value for name, value in values.items() if name != "password_hash"}
        await scope.note("user.changed", user_id, **told, password="password_hash" in values)
    if values.get("disabled_at") is not None:
        await _sign_out(scope, user_id)
    return await find_user(scope, user_id)


async def delete_user(scope: Scope, user_id: str) -> None:
    """Delete a user with their Clients and tokens.

    Raises:
        NotFound: There is none.
        Conflict: Nobody would be left who can change anything.
    """
    user = user_of(await scope.must(users, user_id, "user"))
    await _sign_out(scope, user_id)
    await remove_devices(scope, *await clients_of_user(scope, user_id))
    await scope.run(scope.delete(users, user_id))
    await _keep_an_admin(scope)
    await scope.note("user.deleted", user_id, email=user.email)


async def _hashed(password: SecretStr | None) -> str | None:
    if password is None:
        return None
    return await asyncio.to_thread(hash_password, password.get_secret_value())


async def _keep_an_admin(scope: Scope) -> None:
    able = scope.select(users, func.count()).where(
        users.c.role == Role.ADMIN.value, users.c.disabled_at.is_(None)
    )
    if (await scope.run(able)).scalar_one() == 0:
        raise Conflict(
            "this is the last administrator", hint="make another user an administrator first"
        )


async def _sign_out(scope: Scope, user_id: str) -> None:
    """Revoke every token of a user, and end every access."""
    theirs = (tokens.c.account_id == scope.account, tokens.c.user_id == user_id)
    valid = select(tokens.c.id).where(*theirs, tokens.c.revoked_at.is_(None))
    for row in await scope.rows(valid):
        scope.publish(TokenRevoked(row.id))
    await scope.run(
        update(tokens).where(*theirs, tokens.c.revoked_at.is_(None)).values(revoked_at=scope.now)
    )
    await end_access(scope, UserGone(user_id), watching=await clients_of_user(scope, user_id))


async def list_groups(scope: Scope) -> list[Group]:
    """Return all groups, by name."""
    return [group_of(row) for row in await scope.rows(scope.select(groups).order_by(groups.c.name))]


async def find_group(scope: Scope, wanted: str) -> Group:
    """Return the group with an id or a name.

    Raises:
        NotFound: There is none.
    """
    return group_of(await scope.named(groups, groups.c.name, wanted, "group"))


async def create_group(scope: Scope, given: GroupInput, *, is_everyone: bool = False) -> Group:
    """Make a group without members.

    Raises:
        Conflict: The name is taken.
    """
    new = str(uuid.uuid4())
    made = scope.insert(
        groups, id=new, name=given.name, is_everyone=is_everyone, created_at=scope.now
    )
    await scope.run(made)
    await scope.note("group.created", new, name=given.name)
    return await find_group(scope, new)


async def rename_group(scope: Scope, group_id: str, given: GroupInput) -> Group:
    """Give a group another name."""
    await scope.must(groups, group_id, "group")
    await scope.run(scope.update(groups, group_id).values(name=given.name))
    await scope.note("group.renamed", group_id, name=given.name)
    return await find_group(scope, group_id)


async def delete_group(scope: Scope, group_id: str) -> None:
    """Delete a group with its policies.

    Raises:
        NotFound: There is none.
        Conflict: It is everyone's.
    """
    group = group_of(await scope.must(groups, group_id, "group"))
    if group.is_everyone:
        raise Conflict(f"{group.name} has every user and stays", hint="disable its policies")
    watching = await clients_of_groups(scope, group_id)
    of_it = scope.select(policies, policies.c.id).where(policies.c.group_id == group_id)
    ended = [PolicyWithdrawn(row.id) for row in await scope.rows(of_it)]
    await end_access(scope, *ended, watching=watching)
    await scope.run(scope.delete(groups, group_id))
    await scope.note("group.deleted", group_id, name=group.name)


async def members(scope: Scope, group_id: str) -> list[User]:
    """Return the users of a group, by name."""
    await scope.must(groups, group_id, "group")
    query = (
        scope.select(users)
        .join(memberships, memberships.c.user_id == users.c.id)
        .where(memberships.c.group_id == group_id)
        .order_by(users.c.name)
    )
    return [user_of(row) for row in await scope.rows(query)]


async def join_group(scope: Scope, group_id: str, user_id: str) -> None:
    """Put a user into a group; nothing happens if they are in it."""
    await scope.must(groups, group_id, "group")
    await scope.must(users, user_id, "user")
    if await scope.first(_membership(scope, group_id, user_id)) is not None:
        return
    await scope.run(
        insert(memberships).values(account_id=scope.account, user_id=user_id, group_id=group_id)
    )
    await scope.note("group.joined", group_id, user=user_id)
    await end_access(scope, watching=await clients_of_user(scope, user_id))


async def leave_group(scope: Scope, group_id: str, user_id: str) -> None:
    """Take a user out of a group: what they reach by it ends at once.

    Raises:
        NotFound: They are not in it.
        Conflict: It is everyone's.
    """
    group = group_of(await scope.must(groups, group_id, "group"))
    if group.is_everyone:
        raise Conflict(f"{group.name} has every user", hint="disable the user, or use other groups")
    if await scope.first(_membership(scope, group_id, user_id)) is None:
        raise NotFound(f"the user {user_id[:255]!r} is not in {group.name}")
    await scope.run(
        delete(memberships).where(
            memberships.c.account_id == scope.account,
            memberships.c.group_id == group_id,
            memberships.c.user_id == user_id,
        )
    )
    await scope.note("group.left", group_id, user=user_id)
    watching = await clients_of_user(scope, user_id)
    await end_access(scope, MembershipEnded(user_id, group_id), watching=watching)


def _membership(scope: Scope, group_id: str, user_id: str) -> Select[Any]:
    return scope.select(memberships).where(
        memberships.c.group_id == group_id, memberships.c.user_id == user_id
    )
