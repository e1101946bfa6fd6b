"""The first of all: an account, which has a group of everyone, before anybody can do anything."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select, update

from .addresses import FIRST_HOST
from .database import Actor, Conflict
from .events import ConfigChanged
from .inputs import GroupInput, TokenInput
from .rows import account_of
from .store import Store
from .store.network import create_site
from .store.people import create_group, create_user
from .store.tokens import create_token
from .tables import accounts

if TYPE_CHECKING:
    from .database import Scope
    from .inputs import AccountChange, SiteInput, UserInput
    from .model import Account

__all__ = [
    "EVERYONE",
    "First",
    "change_account",
    "create_account",
    "find_account",
    "first_run",
]

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


@dataclass(frozen=True, slots=True)
class First:
    """What the first run made.

    Args:
        account: The account's id.
        api: The administrator's token for the API.
        gateway: The first site's token.
        client: A token of the administrator for a Client.
    """

    account: str
    api: str = field(repr=False)
    gateway: str = field(repr=False)
    client: str = field(repr=False)


async def first_run(database: str, slug: str, user: UserInput, site: SiteInput) -> First:
    """Make the database, an account with an administrator and a site, and tokens for all three.

    Raises:
        Conflict: There is an account already.
        ConfigError: The database cannot be made or used.
    """
    store = await Store.open(database, serves=False)
    now = int(time.time())
    try:
        there = [account.slug for account in await store.accounts()]
        if there:
            hint = "firezone portal user list"
            raise Conflict(f"there is an account already: {there[0]}", hint=hint)
        account = await create_account(store, slug, slug, now)
        async with store.change(account, Actor("firezone portal init"), now) as scope:
            await create_user(scope, user)
            await create_site(scope, site)
            wanted = [
                TokenInput(kind="api", name="the first", user=user.email),
                TokenInput(kind="gateway", name="the first", site=site.name),
                TokenInput(kind="client", name="the first", user=user.email),
            ]
            made = [(await create_token(scope, one))[1] for one in wanted]
    finally:
        await store.close()
    return First(account, *made)
