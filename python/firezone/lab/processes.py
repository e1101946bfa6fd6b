"""Programs that the laboratory starts: each ends with it, by its own id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import TYPE_CHECKING, Final

from firezone.errors import FirezoneError

from . import programs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Processes", "complaint", "send"]

PATIENCE: Final = 3.0
"""Seconds that a program has to end by itself."""


class Processes:
    """The programs under way; `stop_all` ends them, the newest first."""

    def __init__(self) -> None:
        self._running: list[Process] = []

    async def start(
        self,
        argv: Iterable[str],
        *,
        stdin: int = DEVNULL,
        stdout: int = DEVNULL,
        stderr: int = PIPE,
        limit: int = 2**20,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program; the kernel kills it when this process dies.

        Args:
            argv: The command.
            stdin: As for `asyncio.create_subprocess_exec`, like the two others.
            stdout: What the program writes.
            stderr: What it complains of.
            limit: Bytes that a pipe's reader buffers.
            environment: Variables; None for those of this process.
        """
        command = [programs.find("setpriv"), "--pdeathsig", "KILL", "--", *argv]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            limit=limit,
            env=environment,
        )
        self._running.append(process)
        return process

    async def stop(
        self,
        process: Process,
        *,
        by: signal.Signals = signal.SIGTERM,
        patience: float = PATIENCE,
    ) -> None:
        """End a program and wait for it.

        Args:
            process: It.
            by: What is sent to it.
            patience: Seconds that it has until it is killed.
        """
        if process in self._running:
            self._running.remove(process)
        if process.returncode is not None:
            return
        send(process, by)
        try:
            async with asyncio.timeout(patience):
                await process.wait()
        except TimeoutError:
            send(process, signal.SIGKILL)
            await process.wait()

    async def stop_all(self) -> None:
        """End all programs, the newest first."""
        for process in reversed(self._running.copy()):
            await self.stop(process)

    def kill_all(self) -> None:
        """End all programs without waiting: the way out when no event loop runs any more."""
        for process in self._running:
            send(process, signal.SIGKILL)
        self._running.clear()


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to a program that has not ended.

    By its id and not by `Process.send_signal`, which polls: that would take the exit code away from
    the event loop's watcher.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def complaint(process: Process, said: bytes = b"") -> FirezoneError:
    """Make the error of a program that ended when it should not have.

    Args:
        process: It.
        said: What was read of its complaints already.
    """
    if process.stderr is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                said += await process.stderr.read(4096)
    text = said.decode(errors="replace").strip() or "no message"
    return FirezoneError(f"a program of the laboratory ended with {process.returncode}: {text}")
