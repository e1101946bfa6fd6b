"""Who is online: a row per session, held by a process that says now and then that it lives.

A process that was killed leaves its rows behind; they count no more when it has been silent for
`SILENCE`, and go when another process tidies up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .tables import processes

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

__all__ = ["BEAT", "SILENCE", "is_alive"]

BEAT: Final = 5
"""Seconds between two signs of life."""
SILENCE: Final = 30
"""Seconds after which a process that gave no sign is dead."""


def is_alive(now: int) -> ColumnElement[bool]:
    """Return the condition that the process of a row lives; `processes` must be joined."""
    return processes.c.seen_at > now - SILENCE
