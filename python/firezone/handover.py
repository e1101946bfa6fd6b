"""Handing everything over to a successor that asks for it (R38), both ends.

A Unix socket beside the journal. The successor sends a line of JSON, `{"take_over": 1}`; the
running process stops its data plane and answers with one message: a line of JSON that names the
descriptors which come with it. When the successor's own data plane runs it says `taken`, and the
former process ends. Only root and the user that the running process is may ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final, Self

from . import __version__
from .errors import FirezoneError, NeedsPrivilege
from .legacy import Descriptor, Legacy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

__all__ = ["Grant", "HandoverServer", "SocketSuccessor", "take_over"]

_VERSION: Final = 1
_MOST: Final = 16
"""Descriptors in one message."""
_LINE: Final = 4096
_TAKEN: Final = b"taken\n"
ASKING: Final = 5.0
"""Seconds that a successor has for its request."""
ANSWERING: Final = 20.0
"""Seconds that the running process has to stop its data plane."""
CONFIRMING: Final = 30.0
"""Seconds that a successor has to begin."""


class SocketSuccessor:
    """A successor that asked, and waits.

    Args:
        connection: To it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def give(self, legacy: Legacy) -> None:
        """Send it everything.

        Raises:
            FirezoneError: It has gone.
        """
        descriptors = legacy.packed()
        head = {"names": [descriptor.name for descriptor in descriptors]}
        numbers = [descriptor.number for descriptor in descriptors]
        try:
            socket.send_fds(self._connection, [json.dumps(head).encode() + b"\n"], numbers)
        except OSError as error:
            raise _gone(error.strerror or str(error)) from error

    async def confirmed(self) -> bool:
        """Wait until it has taken over.

        Returns:
            False if it still lives but has not said so in time: what it got is its own.

        Raises:
            FirezoneError: It has gone.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONFIRMING):
                said = await loop.sock_recv(self._connection, len(_TAKEN))
        except TimeoutError:
            return False
        except OSError as error:
            raise _gone(error.strerror or str(error)) from error
        if said != _TAKEN:
            raise _gone("it ended before it had begun")
        return True

    def refuse(self, reason: str) -> None:
        """Tell it that nothing will come."""
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps({"refused": reason}).encode() + b"\n")
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _gone(reason: str) -> FirezoneError:
    message = f"the successor has gone: {reason}"
    return FirezoneError(
        message,
        hint="this host is as it was before; look at the successor's log, then start it again",
    )


class HandoverServer:
    """Listens for a successor, as an asynchronous context.

    Args:
        path: Of the socket.
        on_request: Given a successor that may take over; returns why it may not.
        log: Told if the path cannot be used: then nobody can ask, and all else goes on.
    """

    def __init__(
        self,
        path: Path,
        on_request: Callable[[SocketSuccessor], str | None],
        log: FilteringBoundLogger,
    ) -> None:
        self._path = path
        self._log = log
        self._on_request = on_request
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the socket."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            # Whoever had it is gone: the journal's lock lets one process of a role run.
            self._path.unlink(missing_ok=True)
            # Before bind: there is no moment at which others may open it.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(str(self._path))
            listener.listen(1)
        except OSError as error:
            listener.close()
            self._log.warning(
                "no successor can ask this process",
                event_name="handover.unreachable",
                path=str(self._path),
                reason=error.strerror or str(error),
                hint="set run_dir to another folder",
            )
            return self
        listener.setblocking(False)
        self._listener = listener
        self._task = asyncio.get_running_loop().create_task(self._serve(listener))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the socket; a successor that was accepted keeps its connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            successor = SocketSuccessor(connection)
            try:
                reason = await _refusal(connection)
            except BaseException:
                successor.close()
                raise
            if reason is None:
                reason = self._on_request(successor)
            if reason is not None:
                successor.refuse(reason)


async def _refusal(connection: socket.socket) -> str | None:
    """Read a request; return why it is refused."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ASKING):
            line = await loop.sock_recv(connection, _LINE)
        version = json.loads(line)["take_over"]
    except (OSError, TimeoutError, ValueError, KeyError, TypeError, RecursionError):
        return "this is no request to take over"
    size = struct.calcsize("iII")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _pid, user, _group = struct.unpack("iII", credentials)
    if user not in (0, os.geteuid()):
        return f"user {user} is neither root nor the user that this endpoint is"
    if version != _VERSION:
        return f"handing over by version {version!r} is not known here, only {_VERSION}"
    return None


class Grant:
    """Everything that a running process gave, and the way to tell it that it arrived.

    Args:
        connection: To the former process.
        descriptors: What came.
    """

    def __init__(self, connection: socket.socket, descriptors: list[Descriptor]) -> None:
        self._connection = connection
        self.descriptors = descriptors

    def confirm(self) -> None:
        """Say that this process has begun; the former one ends then."""
        with contextlib.suppress(OSError):
            self._connection.sendall(_TAKEN)
        self._connection.close()

    def close(self) -> None:
        """Go without a word: the former process then undoes what is left."""
        self._connection.close()


def take_over(path: Path) -> Grant | None:
    """Ask the process that runs here for everything, and wait for it.

    Args:
        path: Of its socket.

    Returns:
        None if nobody runs.

    Raises:
        NeedsPrivilege: It runs as another user.
        FirezoneError: It refuses, or does not answer.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWERING)
    try:
        connection.connect(str(path))
        request = {"take_over": _VERSION, "firezone": __version__}
        connection.sendall(json.dumps(request).encode() + b"\n")
        return Grant(connection, _received(connection))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except PermissionError as error:
        connection.close()
        hint = "run it with sudo, or as the user that the endpoint runs as"
        raise NeedsPrivilege(f"{path} may not be opened", hint=hint) from error
    except OSError as error:
        connection.close()
        raise _unanswered(error.strerror or str(error)) from error
    except BaseException:
        connection.close()
        raise


def _received(connection: socket.socket) -> list[Descriptor]:
    line, numbers, _flags, _address = socket.recv_fds(connection, _LINE, _MOST)
    for number in numbers:
        os.set_inheritable(number, False)
    try:
        return [Descriptor(*pair) for pair in zip(_names(line), numbers, strict=True)]
    except (FirezoneError, ValueError) as error:
        for number in numbers:
            os.close(number)
        raise error if isinstance(error, FirezoneError) else _unanswered(str(error)) from error


def _names(line: bytes) -> list[str]:
    """Return what an answer calls its descriptors."""
    if not line:
        raise _unanswered("it ended")
    try:
        head: dict[str, Any] = json.loads(line)
        if "refused" not in head:
            return [str(name) for name in head["names"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unanswered(str(error)) from error
    message = f"the running endpoint does not hand over: {head['refused']}"
    raise FirezoneError(message, hint="end it, then start this one")


def _unanswered(reason: str) -> FirezoneError:
    message = f"the running endpoint did not hand over: {reason}"
    return FirezoneError(
        message, hint="its log tells more; when it has ended, start this one without --take-over"
    )
