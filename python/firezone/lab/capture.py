"""Captures by tcpdump, and the comparison of those on both TUN devices in the core."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any, Final, Self

from firezone._core import compare_captures

from . import programs
from .processes import complaint, send
from .topology import CLIENT_TUN, GATEWAY_TUN

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from .namespaces import Namespace
    from .processes import Processes
    from .settings import Direction
    from .topology import Laboratory

__all__ = ["Capture", "Captures"]

_CAPTURED: Final = re.compile(rb"(\d+) packets? captured")
_DROPPED: Final = re.compile(rb"(\d+) packets? dropped by (?:kernel|interface)")
_LISTENING: Final = b"listening on"
SETTLE: Final = 1.3
"""Seconds until the kernel has handed over its last block of frames (libpcap's default is 1 s)."""


class Capture:
    """One running tcpdump.

    Args:
        process: It.
        processes: Who ends it.
        path: Its file.
    """

    def __init__(self, process: Process, processes: Processes, path: Path) -> None:
        self._process, self._processes = process, processes
        self.path = path
        self.captured = 0
        self.dropped = 0

    @classmethod
    async def start(
        cls, processes: Processes, namespace: Namespace, device: str, path: Path, *options: str
    ) -> Self:
        """Begin; returns when it listens.

        Args:
            processes: Who starts it.
            namespace: Where the device is.
            device: What is watched.
            path: The file that is written.
            options: More for tcpdump, and what is captured.
        """
        await asyncio.to_thread(path.unlink, missing_ok=True)
        command = (programs.find("tcpdump"), "-i", device, "-n", "-Z", "root", "-w", str(path))
        inside = namespace.command(*command, "--time-stamp-precision=nano", *options)
        process = await processes.start(inside, stderr=PIPE)
        await _wait_until_it_listens(process)
        return cls(process, processes, path)

    async def stop(self) -> None:
        """End it, and note what it captured and what the kernel dropped for want of room."""
        send(self._process, signal.SIGINT)
        said = await self._process.stderr.read() if self._process.stderr else b""
        await self._processes.stop(self._process)
        self.captured += sum(int(count) for count in _CAPTURED.findall(said))
        self.dropped += sum(int(count) for count in _DROPPED.findall(said))


class Captures:
    """Both captures of one run.

    Args:
        lab: Whose TUN devices are watched.
    """

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._running: list[Capture] = []

    async def start(self) -> None:
        """Begin; returns when both listen."""
        for namespace, device in ((self._lab.app, CLIENT_TUN), (self._lab.gateway, GATEWAY_TUN)):
            path = self._lab.folder / f"{device}.pcap"
            options = ("-s", "128", "-B", "131072", "tcp")
            capture = Capture.start(self._lab.processes, namespace, device, path, *options)
            self._running.append(await capture)

    async def stop(self) -> None:
        """End both."""
        await asyncio.sleep(SETTLE)
        for capture in self._running:
            await capture.stop()

    @property
    def dropped(self) -> int:
        """What the kernel dropped for want of room."""
        return sum(capture.dropped for capture in self._running)

    async def compare(self, direction: Direction, since: float, until: float) -> dict[str, Any]:
        """Compare them.

        Args:
            direction: The way of the payload.
            since: From when on gaps count, in seconds since the epoch.
            until: When the transfer was ended on purpose, likewise.

        Raises:
            ValueError: They show no transfer.
        """
        client, gateway = (str(capture.path) for capture in self._running)
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
