"""One serving process for one SQLite database: it holds a lock on a file beside it while it lives.

The lock ends with the process, however that ends, so a restart after a crash waits for nothing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from firezone.errors import ConfigError

from .database import Conflict

__all__ = ["Claim"]


class Claim:
    """The right to serve a database; a context.

    Args:
        database: The database's file.

    Raises:
        Conflict: A portal has it.
        ConfigError: The lock's file cannot be made.
    """

    def __init__(self, database: str) -> None:
        path = Path(f"{database}.lock")
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(f"{path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            hint = "end it first; several portals need PostgreSQL"
            raise Conflict(f"a portal uses {database}", hint=hint) from error

    def __enter__(self) -> Self:
        """Use it as a context: it holds since it was made."""
        return self

    def __exit__(self, *_given: object) -> None:
        """Give it up."""
        os.close(self._lock)
