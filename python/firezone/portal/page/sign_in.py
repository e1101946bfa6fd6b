"""Who somebody at the page is, and that a form is theirs.

Whoever signs in gets a new token of kind `page` in a cookie, which ends after hours, by signing
out, or with whatever revokes a user's tokens. A form carries a value that follows from that token
(CSRF), and a browser that says where a form comes from must say that it comes from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import insert, select, update

from firezone.errors import AccessDenied
from firezone.portal.credentials import digest, hash_password, new_token, password_matches
from firezone.portal.interface import TokenRefused
from firezone.portal.model import Role, TokenKind
from firezone.portal.store.tokens import look_up
from firezone.portal.tables import accounts, audit, tokens, users

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from firezone.portal.store import Store

__all__ = ["Visitor", "form_of", "own_form", "sign_in", "sign_out", "visitor"]

LIFETIME: Final = 12 * 3600
"""Seconds that somebody stays signed in."""
LONGEST_PASSWORD: Final = 1024
_MOST_FIELDS: Final = 50


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has signed in.

    Args:
        account: Their account's id.
        email: Who.
        role: What they are.
        token_id: Of their token.
        csrf: What their forms carry.
    """

    account: str
    email: str
    role: Role
    token_id: str
    csrf: str

    @property
    def may_write(self) -> bool:
        """Whether they may change anything."""
        return self.role is Role.ADMIN


def _is_secure(request: Request) -> bool:
    given = str(request.app.state.url or "")
    return request.url.scheme == "https" or given.startswith(("https:", "wss:"))


def _cookie(request: Request) -> str:
    # A browser takes this prefix only with Secure, the path / and no domain.
    return "__Host-firezone" if _is_secure(request) else "firezone"


async def visitor(request: Request) -> Visitor | None:
    """Return who has signed in; None if nobody has."""
    store: Store = request.app.state.store
    token = request.cookies.get(_cookie(request))
    try:
        async with store.database.connection() as connection:
            row = await look_up(connection, token, TokenKind.PAGE, int(request.app.state.clock()))
    except TokenRefused:
        return None
    role = Role(row.role)
    if role is Role.MEMBER:
        return None
    return Visitor(row.account_id, row.email, role, row.id, _csrf(str(token)))


def _csrf(token: str) -> str:
    return hmac.new(token.encode(), b"firezone page form", hashlib.sha256).hexdigest()


async def form_of(request: Request) -> dict[str, str]:
    """Return a form's fields.

    Raises:
        AccessDenied: It comes from another site, or cannot be read.
    """
    origin = request.headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if is_foreign or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise AccessDenied("this form comes from another site")
    try:
        text = (await request.body()).decode()
        given = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise AccessDenied("this form cannot be read") from error
    return {name: values[-1] for name, values in given.items()}


async def own_form(request: Request, who: Visitor) -> dict[str, str]:
    """Return a form's fields.

    Raises:
        AccessDenied: It is not a form that this visitor was given, or they may change nothing.
    """
    form = await form_of(request)
    if not hmac.compare_digest(form.pop("csrf", "").encode(), who.csrf.encode()):
        raise AccessDenied("this form is out of date", hint="go back, load the page and try again")
    if not who.may_write:
        raise AccessDenied(f"{who.email} is {who.role.value} and may not write")
    return form


async def sign_in(request: Request, email: str, password: str, slug: str) -> str | None:
    """Return a new token for somebody with the right password; None for everybody else."""
    store: Store = request.app.state.store
    now = int(request.app.state.clock())
    query = (
        select(users)
        .join(accounts, accounts.c.id == users.c.account_id)
        .where(users.c.email == email.strip().lower(), users.c.disabled_at.is_(None))
    )
    if slug:
        query = query.where(accounts.c.slug == slug)
    async with store.database.connection() as connection:
        # PostgreSQL refuses a NUL in what is looked up.
        is_text = email.isprintable() and slug.isprintable()
        found = (await connection.execute(query)).all() if is_text else []
    kept = found[0].password_hash if len(found) == 1 else None
    async with request.app.state.hashing:
        # Somebody who is not there takes as long as somebody who is.
        is_right = await asyncio.to_thread(
            password_matches, kept or await _nobodys(), password[:LONGEST_PASSWORD]
        )
    if not is_right or kept is None or found[0].role == Role.MEMBER.value:
        return None
    return await _new_session(store, found[0], now)


_of_nobody: list[str] = []


async def _nobodys() -> str:
    """Return the hash of a password that nobody has."""
    if not _of_nobody:
        _of_nobody.append(await asyncio.to_thread(hash_password, uuid.uuid4().hex))
    return _of_nobody[0]


async def _new_session(store: Store, user: Any, now: int) -> str:
    token = new_token(TokenKind.PAGE)
    async with store.database.wide(now) as scope:
        await scope.run(
            insert(tokens).values(
                id=str(uuid.uuid4()),
                account_id=user.account_id,
                kind=TokenKind.PAGE.value,
                name="signed in at the page",
                digest=digest(token),
                user_id=user.id,
                scopes=[],
                expires_at=now + LIFETIME,
                created_at=now,
            )
        )
        line = {"actor": f"user {user.email}"[:255], "action": "page.signed_in", "details": {}}
        await scope.run(insert(audit).values(account_id=user.account_id, at=now, **line))
    return token


def keep(request: Request, response: Response, token: str) -> None:
    """Let the browser keep a token, and no script or other site see it."""
    response.set_cookie(
        _cookie(request),
        token,
        max_age=LIFETIME,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


async def sign_out(request: Request, response: Response, who: Visitor) -> None:
    """End it on both sides."""
    store: Store = request.app.state.store
    now = int(request.app.state.clock())
    async with store.database.wide(now) as scope:
        ended = update(tokens).where(tokens.c.id == who.token_id).values(revoked_at=now)
        await scope.run(ended)
    response.delete_cookie(_cookie(request), path="/", secure=_is_secure(request), httponly=True)
