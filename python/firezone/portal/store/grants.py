"""Authorizations: granted to a Client, acknowledged by a Gateway, ended in time."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, or_, select

from firezone.portal import policy
from firezone.portal.database import SYSTEM, Scope, is_id
from firezone.portal.derive import Side, ice_credentials, preshared_key
from firezone.portal.events import AuthorizationConfirmed, AuthorizationRequested, ViewChanged
from firezone.portal.ingest import Flow, ingest_token
from firezone.portal.interface import Grant, Refused
from firezone.portal.model import Client, Gateway
from firezone.portal.presence import is_alive
from firezone.portal.rows import (
    account_of,
    authorization_of,
    device_of,
    policy_of,
    resource_of,
    site_of,
    user_of,
)
from firezone.portal.tables import (
    accounts,
    authorizations,
    devices,
    policies,
    presences,
    processes,
    resources,
    sites,
    users,
)

from .sessions import SessionStore, offers
from .tokens import valid_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Row

    from firezone.portal.interface import Session
    from firezone.portal.model import Authorization, Resource

__all__ = ["GrantStore"]

_CHANCE: Final = random.SystemRandom()


class GrantStore(SessionStore):
    """What `firezone.portal.interface.Sessions` says of authorizations."""

    async def authorize(
        self, session: Session, resource_id: str, connected: Sequence[str], now: int
    ) -> Refused | str:
        """Grant a Client what it asks for, and tell the Gateway; return the `ref`, or why not."""
        device = session.device
        if not is_id(resource_id):
            return Refused("not_found")
        async with self.database.change(device.account_id, SYSTEM, now) as scope:
            token = await valid_token(scope, session.identity.token.id)
            row = await scope.first(scope.select(devices).where(devices.c.id == device.id))
            resource = await scope.first(
                scope.select(resources).where(resources.c.id == resource_id)
            )
            if token is None or row is None or row.user_id is None or resource is None:
                return Refused("not_found")
            offered = offers(scope, row.user_id).where(policies.c.resource_id == resource_id)
            granted = [policy_of(found) for found in await scope.rows(offered)]
            if not granted or resource.site_id is None:
                return Refused("not_found")
            client = Client(row.id, row.user_id, session.remote_ip, row.verified_at is not None)
            decision = policy.decide(granted, client, token.expires_at, now)
            if decision.policy is None:
                return Refused("forbidden", decision.violated)
            online = await _online_gateways(scope, resource.site_id)
            gateway = policy.choose_gateway(online, connected, session.version, _CHANCE)
            if isinstance(gateway, str):
                return Refused(gateway)
            ref = await _record(scope, client, gateway, decision, token.id)
            scope.publish(AuthorizationRequested(gateway.id, ref))
        return ref

    async def confirm(self, session: Session, ref: str, now: int) -> bool:
        """Take a Gateway's acknowledgement and tell the Client; False if it is not its own."""
        device = session.device
        if not is_id(ref):
            return False
        async with self.database.change(device.account_id, SYSTEM, now) as scope:
            own = (
                authorizations.c.id == ref,
                authorizations.c.gateway_id == device.id,
                authorizations.c.expires_at > now,
            )
            row = await scope.first(scope.select(authorizations).where(*own))
            if row is None:
                return False
            await scope.run(scope.update(authorizations, ref).values(confirmed_at=now))
            scope.publish(AuthorizationConfirmed(row.client_id, ref))
        return True

    async def grant(self, ref: str, now: int) -> Grant | None:
        """Return what the messages of an authorization are made of; None if it has ended."""
        async with self.database.connection() as connection:
            query = select(authorizations).where(
                authorizations.c.id == ref, authorizations.c.expires_at > now
            )
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            scope = Scope(connection, row.account_id, SYSTEM, now)
            return await _grant(scope, authorization_of(row))

    async def authorizations_of(self, session: Session, now: int) -> tuple[Authorization, ...]:
        """Return all that holds at a Gateway: what its `init` must list (§7.1)."""
        device = session.device
        async with self.database.read(device.account_id, now) as scope:
            query = (
                scope.select(authorizations)
                .where(authorizations.c.gateway_id == device.id, authorizations.c.expires_at > now)
                .order_by(authorizations.c.client_id, authorizations.c.resource_id)
            )
            return tuple(map(authorization_of, await scope.rows(query)))

    async def gateway_resource(self, session: Session, resource_id: str) -> Resource | None:
        """Return a resource that somebody may reach through this Gateway."""
        device = session.device
        async with self.database.read(device.account_id) as scope:
            query = (
                scope.select(resources)
                .join(authorizations, authorizations.c.resource_id == resources.c.id)
                .where(resources.c.id == resource_id, authorizations.c.gateway_id == device.id)
            )
            row = await scope.first(query)
            return None if row is None else await _resource(scope, row)

    async def may_signal(self, session: Session, peer_id: str, now: int) -> bool:
        """Tell whether an authorization joins the two: only then are candidates carried."""
        own = session.device.id
        if not is_id(peer_id):
            return False
        table = authorizations.c
        joined = or_(
            and_(table.client_id == own, table.gateway_id == peer_id),
            and_(table.client_id == peer_id, table.gateway_id == own),
        )
        async with self.database.read(session.device.account_id, now) as scope:
            query = scope.select(authorizations, table.id).where(joined, table.expires_at > now)
            return await scope.first(query) is not None

    async def expire(self, now: int) -> int:
        """Remove what has expired; Clients that still may are told to ask again (§7.7)."""
        table = authorizations.c
        over = table.expires_at <= now
        reset: dict[str, set[str]] = defaultdict(set)
        async with self.database.wide(now) as scope:
            gone = delete(authorizations).where(over).returning(table.client_id, table.resource_id)
            ended = (await scope.run(gone)).all()
            for row in ended:
                reset[row.client_id].add(row.resource_id)
            for client, lost in reset.items():
                scope.publish(ViewChanged((client,), tuple(sorted(lost))))
        return len(ended)


async def _online_gateways(scope: Scope, site_id: str) -> list[Gateway]:
    query = (
        scope.select(devices, devices.c.id, devices.c.site_id, presences.c.version)
        .join(presences, presences.c.device_id == devices.c.id)
        .join(processes, processes.c.id == presences.c.process_id)
        .where(devices.c.site_id == site_id, is_alive(scope.now))
        .order_by(devices.c.id)
    )
    return [Gateway(row.id, row.site_id, row.version) for row in await scope.rows(query)]


async def _record(
    scope: Scope, client: Client, gateway: Gateway, decision: policy.Decision, token_id: str
) -> str:
    """Write an authorization in the place of the one before it."""
    granting = decision.policy
    assert granting is not None  # noqa: S101 - for the type: who calls has looked
    table = authorizations.c
    alike = (
        table.account_id == scope.account,
        table.client_id == client.id,
        table.gateway_id == gateway.id,
        table.resource_id == granting.resource_id,
    )
    await scope.run(delete(authorizations).where(*alike))
    ref = str(uuid.uuid4())
    await scope.run(
        scope.insert(
            authorizations,
            id=ref,
            client_id=client.id,
            user_id=client.user_id,
            gateway_id=gateway.id,
            resource_id=granting.resource_id,
            policy_id=granting.id,
            group_id=granting.group_id,
            token_id=token_id,
            needs_verified=granting.conditions.client_verified,
            expires_at=decision.expires_at,
            created_at=scope.now,
        )
    )
    return ref


async def _grant(scope: Scope, authorization: Authorization) -> Grant | None:
    """Put together what both sides are told; None if one of them is not there."""
    client = await _present(scope, authorization.client_id)
    gateway = await _present(scope, authorization.gateway_id)
    own = select(accounts).where(accounts.c.id == scope.account)
    account = account_of((await scope.run(own)).one())
    row = await scope.first(
        scope.select(resources).where(resources.c.id == authorization.resource_id)
    )
    person = await scope.first(scope.select(users).where(users.c.id == authorization.user_id))
    if client is None or gateway is None or row is None or person is None:
        return None
    resource = await _resource(scope, row)
    here, there = (Side(one.id, one.session_key, one.psk_base) for one in (client, gateway))
    client_ice, gateway_ice = ice_credentials(here, there)
    flow = Flow(authorization, resource, user_of(person), client.session_version)
    return Grant(
        authorization,
        device_of(client, online=True),
        client.session_key,
        device_of(gateway, online=True),
        gateway.session_key,
        resource,
        preshared_key(here, there),
        client_ice,
        gateway_ice,
        ingest_token(flow, "initiator", account.ingest_key),
        ingest_token(flow, "responder", account.ingest_key),
    )


async def _present(scope: Scope, device_id: str) -> Row[Any] | None:
    """Return a device with the key and version of its session, if it is online."""
    session = (
        presences.c.public_key.label("session_key"),
        presences.c.version.label("session_version"),
    )
    return await scope.first(
        scope.select(devices, devices, *session)
        .join(presences, presences.c.device_id == devices.c.id)
        .where(devices.c.id == device_id)
    )


async def _resource(scope: Scope, row: Row[Any]) -> Resource:
    if row.site_id is None:
        return resource_of(row, None)
    return resource_of(row, site_of(await scope.must(sites, row.site_id, "site")))
