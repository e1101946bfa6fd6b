"""Makes the tables, and brings older ones up to date: Alembic over the scripts in `migrations`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from firezone.errors import ConfigError

from .database import require_private

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from .database import Database

__all__ = ["prepare", "revisions", "upgrade"]

_FOLDER: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x66697265
"""Of PostgreSQL: two portals that start together do not both migrate."""


async def prepare(database: Database, *, migrates: bool = True) -> None:
    """Make a database ready for use.

    Args:
        database: Which.
        migrates: Whether to change its tables; if not, others than today's are refused.

    Raises:
        ConfigError: Others can read the file, or the tables do not fit.
    """
    if database.file not in {None, "", ":memory:"}:
        _private_file(Path(str(database.file)), may_create=migrates)
    async with database.wide(0) as scope:
        if migrates:
            if not database.is_sqlite:
                await scope.run(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            await scope.connection.run_sync(upgrade)
        else:
            await scope.connection.run_sync(_refuse_others)


def _private_file(path: Path, *, may_create: bool) -> None:
    """Make the file so that nobody else may read it, or see that it is so."""
    if path.exists():
        require_private(path)
        return
    if not may_create:
        hint = "firezone portal init makes one; --database or FIREZONE_PORTAL_DATABASE names one"
        raise ConfigError(f"there is no database {path}", setting="database", hint=hint)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        message = f"{path} cannot be made: {error.strerror}"
        raise ConfigError(message, setting="database", hint="choose another place") from error


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, within the connection's transaction."""
    known, there = revisions(connection)
    if there is not None and there not in known:
        message = "the database was made by a newer version of firezone"
        raise ConfigError(message, setting="database", hint="install that version")
    if there == known[0]:
        return
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def revisions(connection: Connection) -> tuple[list[str], str | None]:
    """Return all revisions, the newest first, and the one that the tables are of."""
    scripts = ScriptDirectory(str(_FOLDER))
    known = [script.revision for script in scripts.walk_revisions()]
    return known, MigrationContext.configure(connection).get_current_revision()


def _refuse_others(connection: Connection) -> None:
    known, there = revisions(connection)
    if there != known[0]:
        state = "older than this version" if there is None or there in known else "newer"
        message = f"the tables of the database are {state}"
        raise ConfigError(message, setting="database", hint="firezone portal migrate")
