"""New connections beside the transfer: does each reach an address that is current?"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import programs
from .traffic import URL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .topology import Laboratory

__all__ = ["Probe", "Prober", "is_current"]

EVERY: Final = 0.5
ALLOWANCE: Final = 2.0 + 1.0
"""Seconds that an old address may still be reached: TTL 0, 2 s, and one look-up (§6)."""
_PATIENCE: Final = 5.0


@dataclass(frozen=True)
class Probe:
    """One new connection.

    Args:
        begin: When it began, in seconds since the epoch.
        end: When it was over.
        address: The site's address that it reached; empty if it reached none.
    """

    begin: float
    end: float
    address: str


class Prober:
    """Opens a connection every half second.

    Args:
        lab: Where it runs.
    """

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self.probes: list[Probe] = []

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End, when those under way are over."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            probe = asyncio.create_task(self._probe())
            self._under_way.add(probe)
            probe.add_done_callback(self._under_way.discard)
            await asyncio.sleep(EVERY)

    async def _probe(self) -> None:
        options = ("--silent", "--max-time", f"{_PATIENCE:.0f}")
        command = self._lab.app.command(programs.find("curl"), *options, f"{URL}/whoami")
        begin = time.time()
        process = await self._lab.processes.start(command, stdout=PIPE)
        output, _ = await process.communicate()
        await self._lab.processes.stop(process)
        self.probes.append(Probe(begin, time.time(), output.decode().strip()))


def is_current(probe: Probe, history: Sequence[tuple[float, str, Sequence[str]]]) -> bool:
    """Return whether a connection reached an address that was served lately enough.

    Args:
        probe: The connection.
        history: When the site's DNS began to serve which addresses, by family, in order of time.
    """
    family = "ipv6" if ":" in probe.address else "ipv4"
    served = [(at, addresses) for at, of, addresses in history if of == family]
    # The set that stood when the allowance began, and every one since.
    first = bisect.bisect_right([at for at, _ in served], probe.begin - ALLOWANCE) - 1
    lately = served[max(first, 0) :]
    return any(at <= probe.end and probe.address in addresses for at, addresses in lately)
