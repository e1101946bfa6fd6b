"""An account as tests need it, and short words for what they do in it."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from firezone.portal.database import Actor
from firezone.portal.events import ConfigChanged, Missed, account_topic
from firezone.portal.first import create_account
from firezone.portal.inputs import (
    GroupInput,
    PolicyInput,
    ResourceInput,
    SiteInput,
    TokenInput,
    UserInput,
)
from firezone.portal.interface import Hello, Session
from firezone.portal.model import ResourceKind, Role, TokenKind
from firezone.portal.store import access, network, people, tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from firezone.portal.bus import Subscription
    from firezone.portal.database import Scope
    from firezone.portal.events import Event
    from firezone.portal.model import Group, Policy, Resource, Site, Token, User
    from firezone.portal.store import Store

__all__ = ["NOW", "World", "key"]

NOW = 1_800_000_000
"""2027-01-15 08:00 UTC, a Friday."""


def key(number: int) -> str:
    """Return a public key."""
    return f"{number:042d}A="


async def seen(store: Store, subscription: Subscription) -> list[Event]:
    """Take all events that were published up to now."""
    fence = str(uuid.uuid4())
    with store.bus.subscribe(account_topic(fence)) as own:
        await store.bus.publish(ConfigChanged(fence))
        await own.next()
    return [
        event
        for event in subscription.taken()
        if not isinstance(event, Missed)  # of the moment when listening began
    ]


@dataclass
class World:
    """An account."""

    store: Store
    account: str
    user: User
    group: Group
    site: Site
    resource: Resource
    policy: Policy

    @classmethod
    async def make(cls, store: Store, slug: str) -> World:
        """Make one."""
        account = await create_account(store, slug, slug.title(), NOW)
        async with store.change(account, Actor("test"), NOW) as scope:
            # Who administers reaches nothing by it.
            await people.create_user(
                scope, UserInput(name="Root", email="root@example.net", role=Role.ADMIN)
            )
            user = await people.create_user(scope, UserInput(name="Ann", email="ann@example.net"))
            group = await people.create_group(scope, GroupInput(name="staff"))
            await people.join_group(scope, group.id, user.id)
            site = await network.create_site(scope, SiteInput(name="main"))
            given = ResourceInput(
                kind=ResourceKind.DNS, name="wiki", address="wiki.corp.example", site="main"
            )
            resource = await network.create_resource(scope, given)
            wanted = PolicyInput(group="staff", resource="wiki")
            policy = await access.create_policy(scope, wanted)
        return cls(store, account, user, group, site, resource, policy)

    @classmethod
    async def find(cls, store: Store, slug: str) -> World:
        """Find one that was made."""
        [account] = [one.id for one in await store.accounts() if one.slug == slug]
        async with store.read(account) as scope:
            user = await people.find_user(scope, "ann@example.net")
            group = await people.find_group(scope, "staff")
            site = await network.find_site(scope, "main")
            resource = await network.find_resource(scope, "wiki")
            [policy] = await access.list_policies(scope)
        return cls(store, account, user, group, site, resource, policy)

    @asynccontextmanager
    async def change(self, now: int = NOW) -> AsyncIterator[Scope]:
        """Begin a change."""
        async with self.store.change(self.account, Actor("test"), now) as scope:
            yield scope

    async def token(self, kind: str, **given: Any) -> tuple[Token, str]:
        """Make a token."""
        owner = {"site": "main"} if kind == "gateway" else {"user": "ann@example.net"}
        async with self.change() as scope:
            wanted = TokenInput(kind=kind, name=f"a {kind}", **{**owner, **given})  # type: ignore[arg-type]
            return await tokens.create_token(scope, wanted)

    async def online(
        self,
        kind: str,
        name: str,
        number: int,
        *,
        secret: str | None = None,
        version: str = "1.6.0",
    ) -> Session:
        """Let a Client or a Gateway come and join."""
        if secret is None:
            _, secret = await self.token(kind)
        identity = await self.store.authenticate(secret, TokenKind(kind), NOW)
        hello = Hello(name, name, key(number), ip_address("192.0.2.7"), f"x {kind}/1", version)
        session = await self.store.connect(identity, hello, NOW)
        await self.store.join(session, NOW)
        return session

    async def client(self, name: str = "laptop", number: int = 1, **given: Any) -> Session:
        """Let a Client join."""
        return await self.online("client", name, number, **given)

    async def gateway(self, name: str = "gw", number: int = 100, **given: Any) -> Session:
        """Let a Gateway join."""
        return await self.online("gateway", name, number, **given)

    async def listen(self, session: Session) -> Subscription:
        """Listen like a session does, to what comes from now on."""
        listening = self.store.bus.subscribe(*session.topics)
        await seen(self.store, listening)
        return listening

    async def seen(self, listening: Subscription) -> list[Event]:
        """Take all events that were published up to now."""
        return await seen(self.store, listening)

    async def granted(
        self, client: Session, gateway: Session, resource: str | None = None, now: int = NOW
    ) -> str:
        """Let a Client be authorised, and the Gateway acknowledge it."""
        ref = await self.store.authorize(client, resource or self.resource.id, (), now)
        assert isinstance(ref, str), ref
        assert await self.store.confirm(gateway, ref, now)
        return ref
