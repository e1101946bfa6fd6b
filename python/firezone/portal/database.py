"""The database: SQLite beside the portal, or PostgreSQL by a URL; changes and what follows as one.

    async with database.change(account_id, actor, now) as scope:
        await scope.run(scope.update(policies, policy_id).values(disabled_at=now))
        scope.publish(PolicyChanged(...))

A change is a transaction; those of one account follow each other. Its events reach the sessions if
and only if it was committed. All that a `Scope` reads and writes is its account's.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, event, insert, or_, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoAnswer
from sqlalchemy.ext.asyncio import create_async_engine

from firezone.errors import ConfigError, FirezoneError

from .bus import CHANNEL, LocalBus, payloads
from .tables import audit, outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sqlalchemy import Column, Delete, Insert, Select, Table, Update
    from sqlalchemy.engine import URL, CursorResult, Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.sql import Executable

    from .events import Event

__all__ = [
    "SYSTEM",
    "Actor",
    "Conflict",
    "Database",
    "DatabaseFailed",
    "NotFound",
    "Scope",
    "is_id",
]

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BUSY_SECONDS: Final = 10
"""How long SQLite waits for another program's write."""


class DatabaseFailed(FirezoneError):
    """The database is gone, locked, full or does not answer; nothing was changed."""


class Conflict(FirezoneError):
    """What is there already forbids it; the text says what."""


class NotFound(FirezoneError, LookupError):
    """The account has no such thing."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, for the audit log.

    Args:
        name: Like `user ann@example.net` or `command line of root`.
    """

    name: str


SYSTEM: Final = Actor("portal")


@dataclass(slots=True)
class Scope:
    """A transaction within an account.

    Args:
        connection: The database's.
        account: The account's id.
        actor: Who acts.
        now: Seconds since 1970.
        events: What is told to sessions if this is committed.
    """

    connection: AsyncConnection
    account: str
    actor: Actor
    now: int
    events: list[Event] = field(default_factory=list)

    def select(self, table: Table, *wanted: Any) -> Select[Any]:
        """Return a query of the account's rows."""
        return select(*(wanted or (table,))).where(table.c.account_id == self.account)

    def update(self, table: Table, row_id: str) -> Update:
        """Return a change of one row, if it is the account's."""
        return update(table).where(table.c.account_id == self.account, table.c.id == row_id)

    def delete(self, table: Table, row_id: str) -> Delete:
        """Return the removal of one row, if it is the account's."""
        return delete(table).where(table.c.account_id == self.account, table.c.id == row_id)

    def insert(self, table: Table, **values: Any) -> Insert:
        """Return a new row of the account."""
        return insert(table).values(account_id=self.account, **values)

    async def run(self, statement: Executable) -> CursorResult[Any]:
        """Execute a statement."""
        return await self.connection.execute(statement)

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows of a query."""
        found: Sequence[Row[Any]] = (await self.connection.execute(query)).all()
        return found

    async def first(self, query: Select[Any]) -> Row[Any] | None:
        """Return the first row of a query."""
        found: Row[Any] | None = (await self.connection.execute(query.limit(1))).first()
        return found

    async def must(self, table: Table, row_id: str, what: str) -> Row[Any]:
        """Return a row of the account.

        Raises:
            NotFound: The account has none with this id.
        """
        row = await self.first(self.select(table).where(table.c.id == row_id))
        if row is None:
            raise NotFound(f"there is no {what} {row_id!r}", hint=f"firezone portal {what} list")
        return row

    async def named(self, table: Table, column: Column[str], wanted: str, what: str) -> Row[Any]:
        """Return the row with an id, else that with a name; nobody's name hides an id.

        Raises:
            NotFound: The account has neither.
        """
        by_id = table.c.id == wanted
        alike = self.select(table).where(or_(by_id, column == wanted))
        row = await self.first(alike.order_by(by_id.desc()))
        if row is None:
            hint = f"firezone portal {what} list"
            raise NotFound(f"there is no {what} {wanted[:255]!r}", hint=hint)
        return row

    def publish(self, *events: Event) -> None:
        """Tell sessions, once this is committed."""
        self.events += events

    async def note(self, action: str, object_id: str | None, **details: Any) -> None:
        """Write a line of the audit log; no secret may be in the details."""
        await self.run(
            self.insert(
                audit,
                at=self.now,
                actor=self.actor.name[:255],
                action=action,
                object_id=object_id,
                details=details,
            )
        )


class Database:
    """An engine, and the two kinds of transactions on it.

    Args:
        url: `sqlite:///path` or `postgresql://user@host/name`.
        serves: Whether this process has the sessions; another one leaves its events for it.

    Raises:
        ConfigError: The URL is of neither kind.
    """

    def __init__(self, url: str, *, serves: bool = True) -> None:
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.serves = serves
        self.bus = LocalBus(None if self.is_sqlite else self._notify)
        self.engine = _engine(self.url, is_sqlite=self.is_sqlite)
        # SQLite has one writer; waiting here is fair, its own waiting is not.
        self._writer = asyncio.Lock()

    @property
    def file(self) -> str | None:
        """The file of an SQLite database."""
        return self.url.database if self.is_sqlite else None

    @property
    def driver_url(self) -> str:
        """The URL as asyncpg wants it."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    @asynccontextmanager
    async def change(self, account: str, actor: Actor, now: int) -> AsyncIterator[Scope]:
        """Begin a change of an account; others of the same account wait.

        Raises:
            Conflict: What is there already forbids it.
            DatabaseFailed: The database does not work; nothing was changed.
        """
        async with self._writing() as connection:
            if not self.is_sqlite:
                key = text("SELECT pg_advisory_xact_lock(hashtextextended(:account, 0))")
                await connection.execute(key, {"account": account})
            scope = Scope(connection, account, actor, now)
            yield scope
            await self._send_within(connection, scope.events)
        if self.is_sqlite and self.serves:
            self.bus.deliver(scope.events)

    @asynccontextmanager
    async def read(self, account: str, now: int = 0) -> AsyncIterator[Scope]:
        """Begin to read an account, all as of one moment."""
        async with self.connection() as connection:
            yield Scope(connection, account, SYSTEM, now)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Begin to read what is no account's."""
        with _told():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def wide(self, now: int) -> AsyncIterator[Scope]:
        """Begin a change of what is no account's, or every account's."""
        async with self._writing() as connection:
            scope = Scope(connection, "", SYSTEM, now)
            yield scope
            await self._send_within(connection, scope.events)
        if self.is_sqlite and self.serves:
            self.bus.deliver(scope.events)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with _told():
            if not self.is_sqlite:
                async with self.engine.begin() as connection:
                    yield connection
                return
            async with self._writer, self.engine.connect() as connection:
                await connection.execution_options(writes=True)
                async with connection.begin():
                    yield connection

    async def _send_within(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Send a change's events with its commit."""
        if self.is_sqlite and self.serves:
            return
        for payload in (part for one in events for part in payloads(one)):
            if self.is_sqlite:
                await connection.execute(insert(outbox).values(event=payload))
            else:
                call = text("SELECT pg_notify(:channel, :payload)")
                await connection.execute(call, {"channel": CHANNEL, "payload": payload})

    async def _notify(self, events: tuple[Event, ...]) -> None:
        async with self._writing() as connection:
            await self._send_within(connection, events)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _checked(url: str) -> URL:
    hint = "sqlite:////var/lib/firezone/portal.db, or postgresql://user@host/name"
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
    except ArgumentError as error:
        # The URL may hold a password: it is not repeated.
        raise ConfigError("the database is no URL", setting="database", hint=hint) from error
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    if kind not in drivers:
        raise ConfigError(f"{kind} is no database of a portal", setting="database", hint=hint)
    return parsed.set(drivername=drivers[kind])


def _engine(url: URL, *, is_sqlite: bool) -> AsyncEngine:
    try:
        if not is_sqlite:
            pool = {"pool_size": 8, "max_overflow": 8, "pool_pre_ping": True}
            return create_async_engine(url, hide_parameters=True, **pool)
        waits = {"timeout": _BUSY_SECONDS}
        # What is written may be a secret, and errors are logged.
        engine = create_async_engine(url, hide_parameters=True, connect_args=waits)
    except ModuleNotFoundError as error:
        hint = "pip install 'firezone[portal,postgres]'"
        raise ConfigError(f"{error.name} is not installed", hint=hint) from error

    @event.listens_for(engine.sync_engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        # Python's driver would begin transactions at the wrong moment.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        # Who reads first and writes later could fail in the middle.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class _told:  # noqa: N801 - used like a function
    """Turns what a driver raises into what a caller may be told."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FirezoneError):
            return
        if isinstance(error, IntegrityError):
            raise Conflict("that exists already, or what it refers to does not") from error
        if isinstance(error, DBAPIError | NoAnswer | OSError):
            cause = getattr(error, "orig", None) or error
            raise DatabaseFailed(
                f"the database does not work: {type(cause).__name__}: {str(cause)[:300]}",
                hint="nothing was changed; see whether it runs and has room, then try again",
            ) from error


def is_id(given: str) -> bool:
    """Tell whether a text has the form of an id; others come from peers, and may be anything."""
    return _ID.fullmatch(given) is not None


def require_private(path: Path) -> None:
    """See that nobody else reads a database file: it has the devices' secrets.

    Raises:
        ConfigError: Others may.
    """
    mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 - one call, as of this moment
    if mode & 0o077:
        message = f"{path}: others can read it, and it holds secrets"
        raise ConfigError(message, setting="database", hint=f"chmod 600 {path}")
