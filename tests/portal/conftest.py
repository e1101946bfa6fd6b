"""One suite on two databases: SQLite in a file, and a PostgreSQL server that is started here."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import pytest
import structlog
from tests.portal import postgres
from tests.portal.running import Running
from tests.portal.world import NOW, World

from firezone.portal.database import Database
from firezone.portal.store import Store
from firezone.portal.tables import metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Table
    from structlog.typing import FilteringBoundLogger

_NUMBERS = count()
TABLES: Final = metadata.sorted_tables
Rows: TypeAlias = "list[tuple[Table, list[dict[str, Any]]]]"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    # pytest's own folder is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="fz-pg-"))
    folder.chmod(0o755)
    yield from postgres.serve(folder / "s")
    folder.rmdir()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'portal.db'}"
    return _postgres(request)


def _postgres(request: pytest.FixtureRequest) -> str:
    server: str = request.getfixturevalue("postgres_server")
    name = f"portal_{next(_NUMBERS)}"
    asyncio.run(_create(server, name))
    return server.format(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the account that tests begin with."""
    file = tmp_path_factory.mktemp("template") / "portal.db"
    asyncio.run(_made(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def postgres_filled(postgres_server: str) -> tuple[str, Rows]:
    """The same in PostgreSQL: its URL, and what it holds."""
    asyncio.run(_create(postgres_server, "filled"))
    url = postgres_server.format("filled")
    asyncio.run(_made(url))
    return url, asyncio.run(_rows(url))


async def _rows(url: str) -> Rows:
    database = Database(url)
    async with database.connection() as connection:
        held = [(t, (await connection.execute(t.select())).mappings().all()) for t in TABLES]
    await database.close()
    return [(table, [dict(row) for row in rows]) for table, rows in held]


async def _put_back(url: str, rows: Rows) -> None:
    """Let a database hold what it held at first: much faster than a new one."""
    database = Database(url)
    async with database.wide(NOW) as scope:
        for table in reversed(TABLES):
            await scope.run(table.delete())
        for table, held in rows:
            if held:
                await scope.connection.execute(table.insert(), held)
    await database.close()


async def _create(server: str, name: str) -> None:
    connection = await asyncpg.connect(server.format("postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


async def _made(url: str) -> None:
    store = await Store.open(url)
    await World.make(store, "corp")
    await store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the account that tests begin with."""
    if request.param == "postgresql":
        filled, rows = request.getfixturevalue("postgres_filled")
        asyncio.run(_put_back(filled, rows))
        return str(filled)
    file = tmp_path / "portal.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), file)
    return f"sqlite:///{file}"


@pytest.fixture
def log() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.wrap_logger(None, processors=[]).bind()
    return logger


@pytest.fixture
async def store(url: str, log: FilteringBoundLogger) -> AsyncIterator[Store]:
    """A store of a process that serves, at a time that stands still."""
    opened = await Store.open(url)
    async with opened.running(log, lambda: NOW) as keeping:
        await keeping.ready()
        yield opened
    await opened.close()


@pytest.fixture
async def world(store: Store) -> World:
    """An account with a user, a group, a site, a resource and a policy; nobody is online."""
    return await World.find(store, "corp")


@pytest.fixture
def running(empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("FIREZONE_PORTAL_DATABASE", empty_url)
    made = Running(tmp_path)
    yield made
    made.end()
