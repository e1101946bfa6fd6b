"""Sessions of Clients, Gateways and relays: who they are, that they are there, what they see."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from firezone.portal.database import SYSTEM
from firezone.portal.derive import GATEWAY_TURN_EXPIRY, relay_id, turn_credentials
from firezone.portal.events import RelaysChanged, SessionReplaced
from firezone.portal.interface import Identity, RelayAddress, Session
from firezone.portal.model import TokenKind
from firezone.portal.presence import is_alive
from firezone.portal.rows import account_of, token_of
from firezone.portal.tables import (
    accounts,
    devices,
    memberships,
    policies,
    presences,
    processes,
    relays,
)

from .devices import seen_device
from .tokens import look_up, mark_used
from .views import Views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from firezone.portal.database import Database, Scope
    from firezone.portal.interface import Hello
    from firezone.portal.model import Account, Resource

__all__ = ["SessionStore", "offers"]

_MOST_RELAYS: Final = 2
"""That a peer is told of (signaling §5.2)."""


def offers(scope: Scope, user_id: str) -> Select[Any]:
    """Return the query for all policies of a user's groups; each row has `site_id` too."""
    return (
        scope.select(policies)
        .join(memberships, memberships.c.group_id == policies.c.group_id)
        .where(memberships.c.user_id == user_id, policies.c.disabled_at.is_(None))
    )


class SessionStore:
    """What `firezone.portal.interface.Sessions` says of sessions and relays.

    Args:
        database: Where all is kept.
        process: The id of this process.
    """

    def __init__(self, database: Database, process: str) -> None:
        self.database = database
        self.process = process
        self._views = Views(database)

    async def authenticate(self, token: str | None, kind: TokenKind, now: int) -> Identity:
        """Return whom a token speaks for.

        Raises:
            TokenRefused: It is missing, unknown, of another kind, expired or revoked.
        """
        async with self.database.connection() as connection:
            row = await look_up(connection, token, kind, now)
            account = None
            if row.account_id is not None:
                own = select(accounts).where(accounts.c.id == row.account_id)
                account = account_of((await connection.execute(own)).one())
        return Identity(token_of(row), account)

    async def connect(self, identity: Identity, hello: Hello, now: int) -> Session:
        """Find or make the device of a Client's or Gateway's token, and begin a session."""
        if identity.account is None:
            message = "a relay is no device"
            raise ValueError(message)
        async with self.database.change(identity.account.id, SYSTEM, now) as scope:
            device = await seen_device(scope, identity, hello)
            await mark_used(scope.connection, identity.token.id, now)
        return Session(
            str(uuid.uuid4()),
            identity,
            device,
            hello.public_key,
            hello.remote_ip,
            hello.version,
        )

    async def join(self, session: Session, now: int) -> None:
        """Let a device be online by this session; an older one is told to close."""
        device = session.device
        async with self.database.change(device.account_id, SYSTEM, now) as scope:
            await scope.must(devices, device.id, "device")
            await scope.run(delete(presences).where(presences.c.device_id == device.id))
            await scope.run(
                scope.insert(
                    presences,
                    device_id=device.id,
                    session_id=session.id,
                    process_id=self.process,
                    token_id=session.identity.token.id,
                    public_key=session.public_key,
                    version=session.version,
                    remote_ip=None if session.remote_ip is None else str(session.remote_ip),
                    iceless=False,
                    joined_at=now,
                )
            )
            scope.publish(SessionReplaced(device.id, session.id))

    async def leave(self, session: Session, now: int) -> None:
        """End a session; if a newer one has taken its place, nothing changes."""
        device = session.device
        async with self.database.change(device.account_id, SYSTEM, now) as scope:
            own = delete(presences).where(
                presences.c.device_id == device.id, presences.c.session_id == session.id
            )
            if (await scope.run(own)).rowcount:
                await scope.run(scope.update(devices, device.id).values(last_seen_at=now))

    async def set_iceless(self, session: Session, *, iceless: bool) -> None:
        """Remember what `set_snownet_capabilities` said."""
        device = session.device
        async with self.database.change(device.account_id, SYSTEM, 0) as scope:
            await scope.run(
                update(presences)
                .where(presences.c.session_id == session.id)
                .values(iceless=iceless)
            )

    async def account(self, session: Session) -> Account:
        """Return the account as it is now: its DNS servers and search domain."""
        async with self.database.connection() as connection:
            own = select(accounts).where(accounts.c.id == session.device.account_id)
            return account_of((await connection.execute(own)).one())

    async def view(self, session: Session, now: int) -> tuple[Resource, ...]:
        """Return what a Client sees now, in the order of ids: allowed, and with a site."""
        return await self._views.of(session, now)

    async def join_relay(
        self, identity: Identity, stamp_secret: str, addresses: Sequence[str], now: int
    ) -> str:
        """Let a relay be online; return its id."""
        new = relay_id(stamp_secret)
        async with self.database.wide(now) as scope:
            await scope.run(delete(relays).where(relays.c.id == new))
            await scope.run(
                insert(relays).values(
                    id=new,
                    stamp_secret=stamp_secret,
                    addresses=list(addresses),
                    process_id=self.process,
                    token_id=identity.token.id,
                    joined_at=now,
                )
            )
            scope.publish(RelaysChanged(new))
        return new

    async def leave_relay(self, relay_id: str, now: int) -> None:
        """Let a relay be offline."""
        async with self.database.wide(now) as scope:
            mine = (relays.c.id == relay_id, relays.c.process_id == self.process)
            if (await scope.run(delete(relays).where(*mine))).rowcount:
                scope.publish(RelaysChanged(relay_id))

    async def relays(self, session: Session, now: int) -> tuple[RelayAddress, ...]:
        """Return at most two relays for a peer, with its credentials."""
        query = (
            select(relays)
            .join(processes, processes.c.id == relays.c.process_id)
            .where(is_alive(now))
            .order_by(relays.c.id)
            .limit(_MOST_RELAYS)
        )
        async with self.database.connection() as connection:
            rows = (await connection.execute(query)).all()
        ends = GATEWAY_TURN_EXPIRY
        if session.identity.token.kind is TokenKind.CLIENT:
            ends = session.identity.token.expires_at or ends
        return tuple(
            RelayAddress(
                row.id, address, turn_credentials(row.stamp_secret, session.public_key, ends)
            )
            for row in rows
            for address in row.addresses
        )
