"""Carries a revocation out: what ends is taken from the database, those concerned are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, or_

from .revocation import Change, consequences, narrowed, revoked
from .rows import authorization_of
from .tables import authorizations, devices, memberships, presences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .database import Scope
    from .model import Authorization

__all__ = ["clients_of_groups", "clients_of_user", "end_access", "take"]


async def end_access(scope: Scope, *changes: Change, watching: Iterable[str] = ()) -> int:
    """End what some changes take away, and tell everybody; return how many accesses ended.

    Args:
        scope: The transaction of the change itself.
        changes: What has changed.
        watching: Clients that see something else than before.
    """
    ended: list[Authorization] = []
    for change in changes:
        ended += await take(scope, change)
    scope.publish(*consequences(ended, watching, scope.now))
    return len(ended)


async def take(scope: Scope, change: Change) -> list[Authorization]:
    """Remove what a change takes away, telling nobody yet."""
    table = authorizations.c
    alike = or_(
        *(and_(*(table[name] == value for name, value in one.items())) for one in narrowed(change))
    )
    found = await scope.rows(scope.select(authorizations).where(alike))
    ended = revoked(change, map(authorization_of, found))
    if ended:
        await scope.run(delete(authorizations).where(table.account_id == scope.account, alike))
    return ended


async def clients_of_groups(scope: Scope, *groups: str) -> list[str]:
    """Return the Clients of these groups' users that are online."""
    query = (
        scope.select(presences, presences.c.device_id)
        .join(devices, devices.c.id == presences.c.device_id)
        .join(memberships, memberships.c.user_id == devices.c.user_id)
        .where(memberships.c.group_id.in_(groups))
        .distinct()
    )
    return [row.device_id for row in await scope.rows(query)]


async def clients_of_user(scope: Scope, user_id: str) -> list[str]:
    """Return the Clients of a user."""
    query = scope.select(devices, devices.c.id).where(devices.c.user_id == user_id)
    return [row.id for row in await scope.rows(query)]
