"""The first of all: an account, which has a group of everyone, before anybody can do anything."""

from __future__ import annotations

import re
import secrets
import uuid
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from .addresses import FIRST_HOST
from .database import Conflict
from .events import ConfigChanged
from .inputs import AccountChange, GroupInput
from .rows import account_of
from .store.people import create_group
from .tables import accounts

if TYPE_CHECKING:
    from .database import Scope
    from .model import Account
    from .store import Store

__all__ = ["EVERYONE", "change_account", "create_account", "find_account"]

EVERYONE: Final = "everyone"
_SLUG: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_KEY_BYTES: Final = 32


async def create_account(store: Store, slug: str, name: str, now: int) -> str:
    """Make an account with the group `everyone`; return its id.

    Raises:
        Conflict: The slug is none, or taken.
    """
    if not _SLUG.fullmatch(slug):
        raise Conflict(f"{slug[:64]!r} is no short name", hint="letters a-z, digits and hyphens")
    new = str(uuid.uuid4())
    async with store.database.wide(now) as scope:
        await scope.run(
            insert(accounts).values(
                id=new,
                slug=slug,
                name=name,
                upstream_dns=[],
                ingest_key=secrets.token_bytes(_KEY_BYTES),
                next_host=FIRST_HOST,
                created_at=now,
            )
        )
        scope.account = new
        await scope.note("account.created", new, slug=slug)
        await create_group(scope, GroupInput(name=EVERYONE), is_everyone=True)
    return new


async def find_account(scope: Scope) -> Account:
    """Return the scope's account."""
    own = select(accounts).where(accounts.c.id == scope.account)
    return account_of((await scope.run(own)).one())


async def change_account(scope: Scope, given: AccountChange) -> Account:
    """Change the account's name or its Clients' DNS; these are told at once.

    Raises:
        Conflict: The search domain is none.
    """
    values: dict[str, object] = {}
    if given.name is not None:
        values["name"] = given.name
    if given.upstream_dns is not None:
        values["upstream_dns"] = list(given.upstream_dns)
    if given.search_domain is not None:
        domain = given.search_domain.lower().strip(".")
        if domain and not _DOMAIN.fullmatch(domain):
            raise Conflict("the search domain is no domain", hint="like corp.example")
        values["search_domain"] = domain or None
    if values:
        await scope.run(update(accounts).where(accounts.c.id == scope.account).values(**values))
        await scope.note("account.changed", scope.account, **values)
        scope.publish(ConfigChanged(scope.account))
    return await find_account(scope)
