"""The store: everything that a portal keeps, behind one door.

    store = await Store.open("sqlite:////var/lib/firezone/portal.db")
    async with store.running():                     in the process that has the sessions
        async with store.change(account_id, actor, now) as scope:
            await access.create_policy(scope, PolicyInput(...))

What administrators do are functions of a scope: `people`, `network`, `access`, `tokens`, `devices`.
What sessions ask are methods: `firezone.portal.interface.Sessions`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Self

from sqlalchemy import select

from firezone.portal.claim import Claim
from firezone.portal.database import Database
from firezone.portal.housekeeping import Housekeeping
from firezone.portal.migrate import prepare
from firezone.portal.rows import account_of
from firezone.portal.tables import accounts

from .grants import GrantStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from structlog.typing import FilteringBoundLogger

    from firezone.portal.bus import LocalBus
    from firezone.portal.database import Actor, Scope
    from firezone.portal.model import Account

__all__ = ["Store"]


class Store(GrantStore):
    """Everything that a portal keeps.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, str(uuid.uuid4()))

    @classmethod
    async def open(cls, url: str, *, serves: bool = True, migrates: bool = True) -> Self:
        """Open a database, and bring its tables up to date.

        Args:
            url: `sqlite:///path` or `postgresql://user@host/name`.
            serves: Whether this process will have the sessions.
            migrates: Whether tables are brought up to date; if not, older ones are refused.

        Raises:
            ConfigError: The URL is wrong, others can read the file, or the tables do not fit.
            DatabaseFailed: The database does not work.
        """
        database = Database(url, serves=serves)
        try:
            await prepare(database, migrates=migrates)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    @property
    def bus(self) -> LocalBus:
        """Where events come from."""
        return self.database.bus

    @asynccontextmanager
    async def change(self, account: str, actor: Actor, now: int) -> AsyncIterator[Scope]:
        """Begin a change of an account: see `Database.change`."""
        async with self.database.change(account, actor, now) as scope:
            yield scope

    @asynccontextmanager
    async def read(self, account: str, now: int = 0) -> AsyncIterator[Scope]:
        """Begin to read an account: see `Database.read`."""
        async with self.database.read(account, now) as scope:
            yield scope

    async def accounts(self) -> list[Account]:
        """Return all accounts, by their short names."""
        async with self.database.connection() as connection:
            rows = (await connection.execute(select(accounts).order_by(accounts.c.slug))).all()
        return list(map(account_of, rows))

    @asynccontextmanager
    async def running(
        self, log: FilteringBoundLogger, clock: Callable[[], float] = time.time
    ) -> AsyncIterator[Housekeeping]:
        """Be a process that has sessions: be known as alive, carry events, end what expires.

        Args:
            log: Told of what fails.
            clock: Seconds since 1970.

        Raises:
            Conflict: Another process serves this SQLite database.
        """
        keeping = Housekeeping(self, log, clock)
        file = self.database.file
        with nullcontext() if file is None else Claim(file):
            await keeping.begin()
            work = asyncio.create_task(keeping.run())
            try:
                yield keeping
            finally:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                await keeping.end()

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()
