"""NAT state of a Gateway between two processes that do not meet: a file that is read once, no keys.

Without it flows open anew at their next packet, most of them as they were. Not so those that share
a port of a Client with others to the same host, nor those in which the site speaks first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .errors import FirezoneError
from .legacy import Memory

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

__all__ = ["KeptState"]

LONGEST: Final = 7440.0
"""Seconds after which no flow would be alive: the longest timeout of the core (R30)."""


class KeptState:
    """The file.

    Args:
        path: Where it is; its folder exists.
        log: Told of what cannot be read or written.
    """

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        self._path = path
        self._log = log

    def take(self, role: str) -> Memory | None:
        """Read what the last process left, and remove it: it is true once."""
        try:
            content = self._path.read_bytes()
            self._path.unlink()
            memory = Memory.from_bytes(content, role)
        except FileNotFoundError:
            return None
        except (OSError, FirezoneError) as error:
            self._log.info(
                "the kept NAT state is not used", event_name="state.unread", reason=str(error)
            )
            return None
        return memory if 0 <= memory.age <= LONGEST else None

    def write(self, memory: Memory) -> None:
        """Keep it for the next process, whole or not at all."""
        fresh = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(memory.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            self._log.warning(
                "the NAT state was not kept; flows open anew",
                event_name="state.unwritten",
                reason=str(error),
            )
