"""Captures on both TUN devices by tcpdump, and their comparison in the core."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any, Final

from firezone._core import compare_captures

from . import programs
from .processes import complaint, send
from .topology import CLIENT_TUN, GATEWAY_TUN

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from .settings import Direction
    from .topology import Laboratory

__all__ = ["Captures"]

_DROPPED: Final = re.compile(rb"(\d+) packets? dropped by (?:kernel|interface)")
_LISTENING: Final = b"listening on"
_SETTLE: Final = 1.3
"""Seconds until the kernel has handed over its last block of frames (libpcap's default is 1 s)."""


class Captures:
    """Both captures of one run.

    Args:
        lab: Whose TUN devices are watched.
    """

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._running: list[Process] = []
        self.paths: list[Path] = []
        self.dropped = 0

    async def start(self) -> None:
        """Begin; returns when both listen."""
        for namespace, device in ((self._lab.app, CLIENT_TUN), (self._lab.gateway, GATEWAY_TUN)):
            path = self._lab.folder / f"{device}.pcap"
            path.unlink(missing_ok=True)
            command = (programs.find("tcpdump"), "-i", device, "-s", "128", "-B", "131072", "-n")
            options = ("-Z", "root", "--time-stamp-precision=nano", "-w", str(path), "tcp")
            inside = namespace.command(*command, *options)
            process = await self._lab.processes.start(inside, stderr=PIPE)
            self._running.append(process)
            self.paths.append(path)
            await _wait_until_it_listens(process)

    async def stop(self) -> None:
        """End both and note what the kernel dropped for want of room."""
        await asyncio.sleep(_SETTLE)
        for process in self._running:
            send(process, signal.SIGINT)
        for process in self._running:
            said = await process.stderr.read() if process.stderr else b""
            await self._lab.processes.stop(process)
            self.dropped += sum(int(count) for count in _DROPPED.findall(said))
        self._running.clear()

    async def compare(self, direction: Direction, since: float, until: float) -> dict[str, Any]:
        """Compare them.

        Args:
            direction: The way of the payload.
            since: From when on gaps count, in seconds since the epoch.
            until: When the transfer was ended on purpose, likewise.

        Raises:
            ValueError: They show no transfer.
        """
        client, gateway = map(str, self.paths)
        text = await asyncio.to_thread(compare_captures, client, gateway, direction, since, until)
        report: dict[str, Any] = json.loads(text)
        return report


async def _wait_until_it_listens(process: Process) -> None:
    said = b""
    while process.stderr is not None and (line := await process.stderr.readline()):
        said += line
        if _LISTENING in line:
            return
    await process.wait()
    raise await complaint(process, said)
