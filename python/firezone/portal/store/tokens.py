"""Tokens: made, shown once, looked up by their digest, revoked."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from firezone.portal.credentials import LONGEST_TOKEN, digest, new_token
from firezone.portal.database import Conflict
from firezone.portal.events import TokenRevoked
from firezone.portal.interface import TokenRefused
from firezone.portal.model import Role, Token, TokenKind
from firezone.portal.revocation import TokenEnded
from firezone.portal.revoke import end_access
from firezone.portal.rows import token_of
from firezone.portal.tables import tokens, users

from .devices import find_device
from .network import find_site
from .people import find_user

if TYPE_CHECKING:
    from sqlalchemy.engine import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from firezone.portal.database import Scope
    from firezone.portal.inputs import TokenInput

__all__ = [
    "create_relay_token",
    "create_token",
    "find_token",
    "list_relay_tokens",
    "list_tokens",
    "look_up",
    "mark_used",
    "revoke_relay_token",
    "revoke_token",
    "valid_token",
]

_LIFETIME: Final = 90 * 86400
"""Seconds that a user's token lives unless something else is said."""
_IS_RELAYS: Final = tokens.c.kind == TokenKind.RELAY.value


async def list_tokens(scope: Scope) -> list[Token]:
    """Return all tokens of the account, the newest first; the tokens themselves are not known."""
    order = (tokens.c.created_at.desc(), tokens.c.id)
    return [token_of(row) for row in await scope.rows(scope.select(tokens).order_by(*order))]


async def find_token(scope: Scope, token_id: str) -> Token:
    """Return what is known of a token.

    Raises:
        NotFound: There is none with this id.
    """
    return token_of(await scope.must(tokens, token_id, "token"))


async def create_token(scope: Scope, given: TokenInput) -> tuple[Token, str]:
    """Make a token.

    Returns:
        What is known of it, and the token itself, which nobody will see again.

    Raises:
        NotFound: There is no such user, site or device.
        Conflict: What is given does not belong to a token of its kind.
    """
    kind = TokenKind(given.kind)
    owner = await _owner(scope, kind, given)
    lifetime = given.lifetime
    if lifetime is None and kind is not TokenKind.GATEWAY:
        lifetime = _LIFETIME
    secret = new_token(kind)
    new = str(uuid.uuid4())
    await scope.run(
        scope.insert(
            tokens,
            id=new,
            kind=kind.value,
            name=given.name,
            digest=digest(secret),
            scopes=sorted(given.scopes) if kind is TokenKind.API else [],
            expires_at=None if lifetime is None else scope.now + lifetime,
            created_at=scope.now,
            **owner,
        )
    )
    await scope.note("token.created", new, kind=kind.value, name=given.name, **owner)
    return await find_token(scope, new), secret


async def _owner(scope: Scope, kind: TokenKind, given: TokenInput) -> dict[str, Any]:
    if kind is TokenKind.GATEWAY:
        if given.user is not None or given.site is None:
            raise Conflict("a gateway token is of a site", hint="name the site, and no user")
        site = await find_site(scope, given.site)
        device_id = given.device
        if device_id is not None and (await find_device(scope, device_id)).site_id != site.id:
            raise Conflict("the device is no Gateway of this site")
        return {"site_id": site.id, "device_id": device_id}
    if given.user is None or given.site is not None or given.device is not None:
        raise Conflict(f"a token of kind {kind.value} is of a user", hint="name the user alone")
    user = await find_user(scope, given.user)
    if user.disabled_at is not None:
        raise Conflict(f"{user.email} is disabled", hint="enable the user first")
    if kind is TokenKind.API and user.role is Role.MEMBER:
        raise Conflict(f"{user.email} is a member and may not use the API")
    return {"user_id": user.id}


async def create_relay_token(connection: AsyncConnection, name: str, now: int) -> tuple[str, str]:
    """Make a token for relays, which belong to no account; return its id and the token."""
    secret = new_token(TokenKind.RELAY)
    new = str(uuid.uuid4())
    await connection.execute(
        insert(tokens).values(
            id=new,
            account_id=None,
            kind=TokenKind.RELAY.value,
            name=name,
            digest=digest(secret),
            scopes=[],
            created_at=now,
        )
    )
    return new, secret


async def list_relay_tokens(scope: Scope) -> list[Token]:
    """Return what is known of the tokens of relays, which all accounts share; the newest first."""
    query = select(tokens).where(_IS_RELAYS).order_by(tokens.c.created_at.desc(), tokens.c.id)
    return [token_of(row) for row in await scope.rows(query)]


async def revoke_relay_token(scope: Scope, token_id: str) -> Token | None:
    """Revoke a token of relays: theirs close; None if there is none with this id."""
    own = (_IS_RELAYS, tokens.c.id == token_id)
    valid = update(tokens).where(*own, tokens.c.revoked_at.is_(None))
    if (await scope.run(valid.values(revoked_at=scope.now))).rowcount:
        scope.publish(TokenRevoked(token_id))
    row = await scope.first(select(tokens).where(*own))
    return None if row is None else token_of(row)


async def revoke_token(scope: Scope, token_id: str) -> Token:
    """Revoke a token: its sessions are told and closed, every access by it ends.

    Raises:
        NotFound: There is none.
    """
    token = await find_token(scope, token_id)
    if token.revoked_at is None:
        await scope.run(scope.update(tokens, token_id).values(revoked_at=scope.now))
        await scope.note("token.revoked", token_id, name=token.name)
        await end_access(scope, TokenEnded(token_id))
        scope.publish(TokenRevoked(token_id))
    return await find_token(scope, token_id)


async def look_up(
    connection: AsyncConnection, token: str | None, kind: TokenKind, now: int
) -> Row[Any]:
    """Return the row of a valid token, with its user's `role` and `email`.

    Raises:
        TokenRefused: It is missing, unknown, of another kind, expired or revoked.
    """
    if not token:
        raise TokenRefused("no token was given", code="missing_token")
    if len(token) > LONGEST_TOKEN:
        raise TokenRefused("this is no token")
    query = (
        select(tokens, users.c.role, users.c.email, users.c.disabled_at)
        .outerjoin(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.digest == digest(token))
    )
    row = (await connection.execute(query)).first()
    # Which of these it is would tell somebody with a stolen token more than they should know.
    if row is None or row.kind != kind.value or row.disabled_at is not None:
        raise TokenRefused("the token is not valid")
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        raise TokenRefused("the token is not valid any more")
    return row


async def valid_token(scope: Scope, token_id: str) -> Token | None:
    """Return a token of the account that is neither revoked nor expired."""
    row = await scope.first(scope.select(tokens).where(tokens.c.id == token_id))
    if row is None or row.revoked_at is not None:
        return None
    return None if row.expires_at is not None and row.expires_at <= scope.now else token_of(row)


async def mark_used(connection: AsyncConnection, token_id: str, now: int) -> None:
    """Remember that somebody came with a token."""
    await connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=now))
