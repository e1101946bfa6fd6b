"""Who calls the API, and what they may: the one place that decides it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator

from firezone.errors import AccessDenied
from firezone.portal.database import Actor, Scope
from firezone.portal.model import Role, TokenKind
from firezone.portal.store import Store
from firezone.portal.store.tokens import look_up, mark_used

__all__ = ["Caller", "Id", "Reading", "Writing"]

_bearer = HTTPBearer(auto_error=False, description="A token of kind `api`.")
Id = Annotated[UUID, AfterValidator(str)]
"""An id in a path; what is no UUID is refused before any database sees it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A user by a token.

    Args:
        account: Their account's id.
        email: Who.
        role: What they are.
        scopes: What the token is for.
    """

    account: str
    email: str
    role: Role
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """See that they may read or write.

        Raises:
            AccessDenied: They may not; the text says by what.
        """
        allowed = {"read": {Role.ADMIN, Role.VIEWER}, "write": {Role.ADMIN}}[scope]
        if scope not in self.scopes:
            raise AccessDenied(f"the token has no scope {scope}", hint="use a token that has it")
        if self.role not in allowed:
            raise AccessDenied(
                f"{self.email} is {self.role.value} and may not {scope}",
                hint="ask an administrator",
            )


def _now(request: Request) -> int:
    clock = getattr(request.app.state, "clock", time.time)
    return int(clock())


async def _caller(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    store: Store = request.app.state.store
    now = _now(request)
    async with store.database.connection() as connection:
        token = None if given is None else given.credentials
        row = await look_up(connection, token, TokenKind.API, now)
    if row.last_used_at is None or now - row.last_used_at >= 60:  # noqa: PLR2004 - a minute
        async with store.database.wide(now) as scope:
            await mark_used(scope.connection, row.id, now)
    return Caller(row.account_id, row.email, Role(row.role), frozenset(row.scopes))


async def _reading(
    request: Request, caller: Annotated[Caller, Depends(_caller)]
) -> AsyncIterator[Scope]:
    caller.require("read")
    store: Store = request.app.state.store
    async with store.read(caller.account, _now(request)) as scope:
        yield scope


async def _writing(
    request: Request, caller: Annotated[Caller, Depends(_caller)]
) -> AsyncIterator[Scope]:
    caller.require("write")
    store: Store = request.app.state.store
    actor = Actor(f"user {caller.email}")
    async with store.change(caller.account, actor, _now(request)) as scope:
        yield scope


# The answer to a change leaves after its commit: who has it may rely on it.
Reading = Annotated[Scope, Depends(_reading, scope="function")]
Writing = Annotated[Scope, Depends(_writing, scope="function")]
