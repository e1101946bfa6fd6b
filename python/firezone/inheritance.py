"""Taking over from a former process, and leaving to the next one (R38)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from .daemon import handover_path
from .descriptor_store import StoreSuccessor, is_restarting, stored
from .errors import FirezoneError
from .handover import Grant, take_over
from .host.journal import Journal
from .legacy import Legacy

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from .daemon import Lifecycle
    from .host.journal import Role
    from .legacy import Descriptor, Memory
    from .settings import EndpointSettings

__all__ = ["Heir", "Successor", "hand_over", "own_unit", "successor_of"]

_TRIES: Final = 100
_PAUSE: Final = 0.05
"""Seconds between tries for the lock of a process that has handed over and is about to end."""


class Successor(Protocol):
    """Who takes over."""

    def give(self, legacy: Legacy) -> None:
        """Pass everything on.

        Raises:
            FirezoneError: It was not taken.
        """
        ...

    async def confirmed(self) -> bool:
        """Wait until it has begun; False if that is not known.

        Raises:
            FirezoneError: It never will.
        """
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class Heir:
    """What a process that starts was left, if anything.

    Args:
        role: Of this process.
        settings: Of this process.
        log: Where events go.
    """

    def __init__(self, role: Role, settings: EndpointSettings, log: FilteringBoundLogger) -> None:
        self._role = role
        self._run_dir = settings.run_dir
        self._log = log
        self._grant: Grant | None = None
        self.legacy = Legacy()

    @property
    def descriptors(self) -> list[Descriptor]:
        """Those of the core; with them the host is as the former process made it."""
        return self.legacy.descriptors

    @property
    def memory(self) -> Memory | None:
        """What the former process knew."""
        return self.legacy.memory

    @property
    def facts(self) -> dict[str, Any]:
        """What the role remembered."""
        return {} if self.memory is None else self.memory.facts

    async def receive(self, *, asks: bool) -> None:
        """Take what the service manager kept, else ask the process that runs.

        Args:
            asks: Whether a running process is asked.

        Raises:
            NeedsPrivilege: It may not be asked.
            FirezoneError: It does not hand over.
        """
        descriptors = stored(os.environ)
        if not descriptors and asks:
            path = handover_path(self._run_dir, self._role)
            self._grant = await asyncio.to_thread(take_over, path)
            if self._grant is None:
                self._log.info("nobody runs here to take over from", event_name="handover.nobody")
                return
            descriptors = self._grant.descriptors
        if not descriptors:
            return
        self.legacy, reason = Legacy.of(descriptors, self._role)
        if reason is not None:
            self._log.warning(
                "what the former process knew is lost; flows open anew",
                event_name="handover.forgotten",
                reason=reason,
            )

    async def journal(self) -> Journal:
        """Take the journal of what was changed on this host.

        Raises:
            FirezoneError: Another process holds it.
        """
        if self.legacy.lock is not None:
            lock, self.legacy.lock = self.legacy.lock, None
            return Journal.adopt(self._role, lock, folder=self._run_dir)
        for _ in range(_TRIES if self.descriptors else 0):
            if not Journal.peek(self._role, folder=self._run_dir).is_held:
                break
            await asyncio.sleep(_PAUSE)
        return Journal.open(self._role, folder=self._run_dir)

    def confirm(self) -> None:
        """Tell the former process that this one has begun."""
        if self._grant is not None:
            self._grant.confirm()

    def close(self) -> None:
        """Close what was not used; a former process that waits undoes what it left."""
        self.legacy.close()
        if self._grant is not None:
            self._grant.close()


async def successor_of(
    lifecycle: Lifecycle, settings: EndpointSettings, log: FilteringBoundLogger
) -> Successor | None:
    """Return who takes over from a process that is about to end, if anybody; in doubt nobody."""
    if lifecycle.successor is not None:
        return lifecycle.successor
    how = settings.descriptor_store
    if not lifecycle.is_terminated or how == "off" or not os.environ.get("NOTIFY_SOCKET"):
        return None
    if how == "always":
        return StoreSuccessor()
    unit = own_unit()
    try:
        if unit is not None and await asyncio.to_thread(is_restarting, unit):
            return StoreSuccessor()
    except FirezoneError as error:
        log.warning(
            "whether this is a restart is not known; everything is undone",
            event_name="handover.unknown",
            unit=unit,
            reason=str(error),
        )
    return None


def own_unit() -> str | None:
    """Return the systemd unit that this process belongs to."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names = [part for line in lines for part in line.split("/") if part.endswith(".service")]
    return names[-1] if names else None


async def hand_over(successor: Successor, legacy: Legacy, log: FilteringBoundLogger) -> None:
    """Pass everything on and wait until the successor has begun.

    Raises:
        FirezoneError: It never will; everything that was left is closed.
    """
    try:
        await asyncio.to_thread(successor.give, legacy)
        if not await successor.confirmed():
            log.warning(
                "the successor has not said that it began; what it got is its own",
                event_name="handover.unconfirmed",
            )
    finally:
        legacy.close()
        successor.close()
    seconds = None if legacy.memory is None else round(legacy.memory.age, 3)
    log.info("handed over", event_name="handover.done", seconds=seconds)
