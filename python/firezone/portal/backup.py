"""Backup and restore of an SQLite database, while it is in use.

PostgreSQL has tools of its own that are better at it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError

from .claim import Claim
from .database import Conflict, Database, require_private

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["backup", "restore"]

_NEEDED: Final = ("alembic_version", "accounts", "devices", "policies")


def backup(database: Database, target: Path) -> int:
    """Write all of a database, as of one moment, into a new file; return its bytes.

    Raises:
        ConfigError: It is no SQLite database, or the file cannot be written.
        Conflict: The file is there already.
    """
    source = _file(database)
    require_private(source)
    _make(target)
    try:
        with closing(_reader(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
        with target.open("rb") as written:
            os.fsync(written.fileno())
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        message = f"the backup could not be written to {target}: {error}"
        raise ConfigError(message, hint="see whether there is room") from error
    return target.stat().st_size


def restore(database: Database, source: Path, *, replaces: bool = False) -> None:
    """Put a backup in the place of a database.

    Args:
        database: Which.
        source: The backup.
        replaces: Whether a database that is there may go.

    Raises:
        ConfigError: It is no SQLite database, or the backup is none.
        Conflict: There is a database, or a portal uses it now.
    """
    target = _file(database)
    _look_at(source)
    if target.exists() and not replaces:
        raise Conflict(f"{target} is there already", hint="--replace lets the backup take over")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Claim(str(target)):
        _put(source, target)


def _put(source: Path, target: Path) -> None:
    fresh = target.with_name(f"{target.name}.restored")
    fresh.unlink(missing_ok=True)
    _make(fresh)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(fresh)) as new:
        old.backup(new)
    for rest in _rests(target):
        rest.unlink(missing_ok=True)
    fresh.replace(target)
    for rest in _rests(fresh):
        rest.unlink(missing_ok=True)


def _file(database: Database) -> Path:
    if database.file is None:
        hint = "pg_dump and pg_restore do this for PostgreSQL, while the portal runs"
        raise ConfigError("the database is no file", setting="database", hint=hint)
    return Path(database.file)


def _make(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", hint="name another file") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from error


def _reader(source: Path) -> sqlite3.Connection:
    """Open a file that is there, whatever its path is made of."""
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)


def _look_at(source: Path) -> None:
    """See that a file is a whole database of a portal."""
    hint = "name a file that `firezone portal backup` has written"
    try:
        with closing(_reader(source)) as connection:
            state = connection.execute("PRAGMA integrity_check").fetchone()[0]
            there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise ConfigError(f"{source} is no backup: {error}", hint=hint) from error
    if state != "ok" or not set(_NEEDED) <= there:
        raise ConfigError(f"{source} is no whole backup of a portal", hint=hint)


def _rests(path: Path) -> Iterator[Path]:
    for ending in ("-wal", "-shm", "-journal"):
        yield path.with_name(path.name + ending)
