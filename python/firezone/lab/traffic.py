"""The transfer under test, by curl and nginx, and its proof by sha256sum."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Final, Protocol

from firezone.errors import TunnelTimeout

from . import programs
from .processes import complaint
from .site import pseudo_random

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from .site import Site
    from .topology import Laboratory

__all__ = ["Download", "Transfer", "Upload"]

URL: Final = "http://app.site.example"
STANDS: Final = 2**20
"""Bytes after which a transfer is under way and not merely in the buffers of its beginning."""
_SET_UP: Final = 25.0
_DRAIN: Final = 25.0
"""Seconds that a transfer has to begin, and what was sent to arrive after its end."""
_RAMP: Final = 1.0
"""Seconds that TCP gets to reach the link's rate before the transfer is watched."""
_CURL: Final = ("--silent", "--show-error", "--no-buffer", "--connect-timeout", "20")


class Transfer(Protocol):
    """A transfer that begins, is watched and is ended."""

    moved: int
    """Bytes that the application has written or read so far."""

    async def start(self) -> None:
        """Begin, and wait until the flow stands."""
        ...

    async def finish(self) -> bool:
        """End cleanly and return whether every byte arrived as it was sent."""
        ...


class Upload:
    """Pseudo-random bytes through curl's stdin into a file that nginx stores.

    Args:
        lab: Where it runs.
        site: Where to.
        seed: Of the bytes.
    """

    def __init__(self, lab: Laboratory, site: Site, seed: int) -> None:
        self._lab, self._site, self._seed = lab, site, seed
        self._curl: Process | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._hash = hashlib.sha256()
        self.moved = 0

    async def start(self) -> None:
        """Begin, and wait until the flow stands.

        Raises:
            TunnelTimeout: It does not.
        """
        command = (programs.find("curl"), *_CURL, "-T", "-", "-H", "Expect:", f"{URL}/upload/file")
        inside = self._lab.app.command(*command)
        self._curl = await self._lab.processes.start(inside, stdin=PIPE)
        self._feeder = asyncio.create_task(self._feed(self._curl))
        await _wait_until_it_stands(self, self._curl)

    async def finish(self) -> bool:
        """Close curl's stdin, wait for nginx's answer, and compare the stored file."""
        self._ending.set()
        curl, feeder = self._curl, self._feeder
        if curl is None or feeder is None:
            return False
        try:
            async with asyncio.timeout(_DRAIN):
                await feeder
                code = await curl.wait()
        except TimeoutError:
            code = None
        await self._lab.processes.stop(curl)
        stored = self._site.root / "upload" / "file"
        if code != 0 or not stored.exists():
            return False
        return await _sha256(stored) == self._hash.hexdigest()

    async def _feed(self, curl: Process) -> None:
        stdin = curl.stdin
        if stdin is None:
            return
        for chunk in pseudo_random(self._seed):
            if self._ending.is_set():
                break
            stdin.write(chunk)
            try:
                await stdin.drain()
            except ConnectionError:
                # curl gave up; its exit code tells.
                return
            self._hash.update(chunk)
            self.moved += len(chunk)
        stdin.close()
        with contextlib.suppress(ConnectionError):
            await stdin.wait_closed()


class Download:
    """A prepared file through curl's stdout, hashed as it is read, and ended in the middle.

    Args:
        lab: Where it runs.
        site: Where from; its file must be longer than what can be read.
    """

    def __init__(self, lab: Laboratory, site: Site) -> None:
        self._lab, self._site = lab, site
        self._curl: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._hash = hashlib.sha256()
        self.moved = 0

    async def start(self) -> None:
        """Begin, and wait until the flow stands.

        Raises:
            TunnelTimeout: It does not.
        """
        command = (programs.find("curl"), *_CURL, f"{URL}/file")
        inside = self._lab.app.command(*command)
        self._curl = await self._lab.processes.start(inside, stdout=PIPE)
        self._reader = asyncio.create_task(self._read(self._curl))
        await _wait_until_it_stands(self, self._curl)

    async def finish(self) -> bool:
        """End curl and compare what was read with the beginning of the file."""
        curl, reader = self._curl, self._reader
        if curl is None or reader is None:
            return False
        ended_early = reader.done()
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
        await self._lab.processes.stop(curl, by=signal.SIGINT)
        same = await _sha256(self._site.root / "file", self.moved) == self._hash.hexdigest()
        return same and self.moved > 0 and not ended_early

    async def _read(self, curl: Process) -> None:
        stdout = curl.stdout
        while stdout is not None and (data := await stdout.read(2**18)):
            self._hash.update(data)
            self.moved += len(data)


async def _wait_until_it_stands(transfer: Transfer, curl: Process) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SET_UP):
            while transfer.moved < STANDS:
                if curl.returncode is not None:
                    raise await complaint(curl)
                await asyncio.sleep(0.01)
            await asyncio.sleep(_RAMP)
            return
    raise TunnelTimeout(f"the transfer did not begin within {_SET_UP:.0f} s")


async def _sha256(path: Path, length: int | None = None) -> str:
    """Let sha256sum judge a file, or its beginning."""
    script = 'exec sha256sum "$1"' if length is None else 'head -c "$2" "$1" | sha256sum'
    arguments = ("sh", "-c", script, "sh", str(path), str(length))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE)
    output, _ = await process.communicate()
    return output.decode().split()[0]
