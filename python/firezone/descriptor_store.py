"""Leaving everything with the service manager until the successor starts (R38), both ends.

systemd keeps descriptors of a service while that restarts: sd_notify(3), `FDSTORE=1`. The next
process finds them as sd_listen_fds(3) says. At a stop systemd closes them, so a process has to know
whether somebody will come: it asks for the job of its unit.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .errors import FirezoneError
from .host import programs
from .legacy import Descriptor
from .notify import barrier, notify

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from .legacy import Legacy

__all__ = ["StoreSuccessor", "is_restarting", "stored"]

PATIENCE: Final = 3.0
"""Seconds that systemctl may take; a unit has 15 to end."""
_FIRST: Final = 3
_PREFIX: Final = "firezone-"
_RESTARTS: Final = frozenset({"restart", "try-restart", "start"})


class StoreSuccessor:
    """Whoever the service manager starts next."""

    def give(self, legacy: Legacy) -> None:
        """Leave everything.

        Raises:
            FirezoneError: The service manager does not take it.
        """
        # The lock is this process's: while nobody runs, `host cleanup` may be needed.
        legacy.lock = None
        for name, number in legacy.packed():
            told = ("FDSTORE=1", f"FDNAME={_PREFIX}{name}", "FDPOLL=0")
            if not notify(*told, descriptors=[number]):
                _forget()
                message = "the service manager does not take descriptors"
                raise FirezoneError(message, hint="set descriptor_store to off")
        # It is told who sent it by the process, which must live until then.
        barrier()

    async def confirmed(self) -> bool:
        """Return at once: who comes next cannot be waited for."""
        return True

    def close(self) -> None:
        """Do nothing."""


def stored(environment: MutableMapping[str, str]) -> list[Descriptor]:
    """Take what a former process of this service left; the service manager forgets it.

    Args:
        environment: Of this process; what tells of descriptors is removed from it.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return []
    numbers = range(_FIRST, _FIRST + int(count))
    found = [
        Descriptor(name.removeprefix(_PREFIX), number)
        for name, number in zip(names, numbers, strict=False)
        if name.startswith(_PREFIX)
    ]
    if found:
        # They are this process's from now on: it could not be ended otherwise, nor the device go.
        _forget()
    return found


def is_restarting(unit: str) -> bool:
    """Whether systemd is about to start a unit again.

    Raises:
        FirezoneError: It does not say.
    """
    command = ["systemctl", "list-jobs", "--no-legend", "--plain", "--full", unit]
    lines = programs.run(command, patience=PATIENCE).splitlines()
    jobs = (line.split() for line in lines)
    return any(len(job) > 2 and job[1] == unit and job[2] in _RESTARTS for job in jobs)  # noqa: PLR2004


def _forget() -> None:
    for name in ("tun", "udp", "sessions", "memory"):
        notify("FDSTOREREMOVE=1", f"FDNAME={_PREFIX}{name}")
