"""A process of the laboratory's own that is commanded by JSON lines."""

from __future__ import annotations

import json
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any, Self

from .processes import complaint

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

    from .namespaces import Namespace
    from .processes import Processes

__all__ = ["Commanded"]

_LINE: int = 64 * 2**20


class Commanded:
    """A running module of this package.

    Args:
        process: Its process, with pipes for all three streams.
    """

    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    async def start(
        cls, processes: Processes, namespace: Namespace, module: str, *argv: str
    ) -> Self:
        """Start `python -m MODULE` inside a namespace."""
        command = namespace.command(sys.executable, "-m", module, *argv)
        process = await processes.start(command, stdin=PIPE, stdout=PIPE, limit=_LINE)
        return cls(process)

    async def tell(self, command: Mapping[str, object]) -> None:
        """Send a command."""
        stdin = self.process.stdin
        if stdin is None:
            raise await complaint(self.process)
        try:
            stdin.write(json.dumps(command).encode() + b"\n")
            await stdin.drain()
        except ConnectionError as error:
            raise await complaint(self.process) from error

    async def hear(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            FirezoneError: The process has ended; the message is what it complained of.
        """
        line = await self.process.stdout.readline() if self.process.stdout else b""
        if not line:
            await self.process.wait()
            raise await complaint(self.process)
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, command: Mapping[str, object]) -> dict[str, Any]:
        """Send a command and return its answer."""
        await self.tell(command)
        return await self.hear()
