"""The control socket of a running endpoint, both ends.

A Unix socket; each request is a line of JSON, `{"id": 1, "method": "nat.flows", "params": {}}`, and
so is each answer, `{"id": 1, "result": [...]}` or `{"id": 1, "error": {"code": ..., "message":
...}}`. Who may open the socket may use all methods: it has the group `firezone` and mode 0660 where
that group exists, else mode 0600.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import platformdirs

from .errors import ConfigError, EndpointNotRunning, FirezoneError, NeedsPrivilege, TunnelTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

__all__ = ["ControlClient", "ControlServer", "level_method", "socket_path"]

GROUP: Final = "firezone"
LONGEST_REQUEST: Final = 64 * 1024
"""Bytes of a request; after a longer one the connection ends."""
LONGEST_ANSWER: Final = 64 * 2**20
"""Bytes of an answer: a full flow table has less."""
MOST_CONNECTIONS: Final = 16
IDLE: Final = 60.0
"""Seconds without a request after which a connection ends."""
PATIENCE: Final = 10.0
"""Seconds that a client waits for an answer."""
SYSTEM_FOLDER: Final = Path("/run/firezone")
_LONGEST_PATH: Final = 107


class HasLevel(Protocol):
    """What has a level that may be changed: `firezone.logs.LogPipeline`."""

    level: str


def socket_path(role: str) -> Path:
    """Return where the socket of a role is: /run/firezone for root, else the user's run folder."""
    if os.geteuid() == 0:
        return SYSTEM_FOLDER / f"{role}.sock"
    return Path(platformdirs.user_runtime_dir("firezone")) / f"{role}.sock"


def level_method(logs: HasLevel) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    """Return the method `log.level`: tells the level, and changes it if `level` is given."""

    async def level(params: dict[str, Any]) -> dict[str, str]:
        wanted = params.get("level")
        if params.keys() - {"level"} or not isinstance(wanted, str | None):
            message = "log.level takes level: trace, debug, info, warn or error"
            raise ValueError(message)
        if wanted is not None:
            logs.level = wanted
        return {"level": logs.level}

    return level


class _BadRequest(Exception):
    """Answered with an error.

    Args:
        code: For programs.
        message: For people.
        number: The request's id, where it could be read.
    """

    def __init__(self, code: str, message: str, number: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.number = number


class ControlServer:
    """Serves methods on a socket, as an asynchronous context.

    Args:
        path: The socket; its folder is created if need be.
        methods: Name to method. A method raises ValueError for bad parameters and FirezoneError
            for what it cannot do.
    """

    def __init__(
        self, path: Path, methods: Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]
    ) -> None:
        self.path = path
        self._methods = dict(methods)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Open the socket.

        Raises:
            ConfigError: The path cannot be used.
            FirezoneError: Another process serves it.
            NeedsPrivilege: It may not be used.
        """
        listener = _listen(self.path)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listener, limit=LONGEST_REQUEST
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections and remove the socket."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MOST_CONNECTIONS:
            await _send(writer, _error(None, "busy", f"more than {MOST_CONNECTIONS} connections"))
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            # The other end has gone, says nothing, or the endpoint ends.
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                # Where the next request begins is not known any more.
                text = f"a request has at most {LONGEST_REQUEST} bytes"
                await _send(writer, _error(None, "too_large", text))
                return
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> bytes:
        try:
            number, name, params = _read(line)
            result = await self._call(number, name, params)
        except _BadRequest as error:
            return _error(error.number, error.code, str(error))
        return json.dumps({"id": number, "result": result}, default=str).encode() + b"\n"

    async def _call(self, number: object, name: str, params: dict[str, Any]) -> Any:
        method = self._methods.get(name)
        if method is None:
            text = f"no method {name!r}; there are {', '.join(sorted(self._methods))}"
            raise _BadRequest("unknown_method", text, number)
        try:
            return await method(params)
        except ValueError as error:
            raise _BadRequest("invalid_params", str(error), number) from error
        except FirezoneError as error:
            raise _BadRequest("failed", str(error), number) from error
        except Exception as error:
            text = f"unexpected {type(error).__name__}"
            raise _BadRequest("failed", text, number) from error


class ControlClient:
    """Calls methods of a running endpoint; a context.

    Args:
        path: Its socket.
        patience: Seconds to wait for an answer.

    Raises:
        EndpointNotRunning: Nothing answers there.
        NeedsPrivilege: It may not be used.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience)
        self._next = 1
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise _unreachable(path, error) from error
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def call(self, method: str, **params: object) -> Any:
        """Call a method.

        Returns:
            Its result.

        Raises:
            FirezoneError: The endpoint answers with an error, or not as it should.
            EndpointNotRunning: It has ended.
            TunnelTimeout: It does not answer in time.
        """
        number, self._next = self._next, self._next + 1
        request = {"id": number, "method": method, "params": params}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._file.readline(LONGEST_ANSWER)
        except TimeoutError as error:
            message = f"{self.path}: no answer to {method}"
            raise TunnelTimeout(message, hint="the endpoint may be stuck; see its logs") from error
        except OSError as error:
            raise _unreachable(self.path, error) from error
        return self._result(line, number)

    def _result(self, line: bytes, number: int) -> Any:
        if not line:
            message = f"{self.path}: the endpoint has ended"
            raise EndpointNotRunning(message, path=str(self.path), hint="start it again")
        try:
            answer = json.loads(line)
            if "error" in answer:
                raise FirezoneError(str(answer["error"]["message"]))
            if answer["id"] == number:
                return answer["result"]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        message = f"{self.path}: not the answer of an endpoint"
        raise FirezoneError(message, hint="check --socket")


def _read(line: bytes) -> tuple[object, str, dict[str, Any]]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BadRequest("malformed", "a request is one line of JSON") from error
    if not isinstance(request, dict):
        raise _BadRequest("invalid_request", "a request is an object with id and method")
    number = request.get("id")
    if not isinstance(number, str | int | None):
        raise _BadRequest("invalid_request", "id must be a number or a text")
    name, params = request.get("method"), request.get("params", {})
    if not isinstance(name, str):
        raise _BadRequest("invalid_request", "method must be a text", number)
    if not isinstance(params, dict):
        raise _BadRequest("invalid_request", "params must be an object", number)
    return number, name, params


def _error(number: object, code: str, text: str) -> bytes:
    error = {"id": number, "error": {"code": code, "message": text[:1024]}}
    return json.dumps(error).encode() + b"\n"


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    # One that does not read must not be waited for without end.
    async with asyncio.timeout(IDLE):
        await writer.drain()


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        message = f"{path}: a socket's path has at most {_LONGEST_PATH} bytes"
        raise ConfigError(message, hint="set control_socket to a shorter one")
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path)
        # Before bind: there is no moment at which others may open it.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        _give_to_group(path)
        listener.listen(MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise _unusable(path, error) from error
    except FirezoneError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that has ended."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    message = f"{path} belongs to a running endpoint"
    raise FirezoneError(message, hint="stop it, or set control_socket to another path")


def _give_to_group(path: Path) -> None:
    # Without the group, or without the right to give, the socket stays its owner's.
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
        path.chmod(0o660)


def _unusable(path: Path, error: OSError) -> FirezoneError:
    message = f"{path} cannot be the control socket: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return NeedsPrivilege(message, hint="set control_socket to a path of yours, or run as root")
    return ConfigError(message, hint="set control_socket to another path")


def _unreachable(path: Path, error: OSError) -> FirezoneError:
    if isinstance(error, PermissionError):
        hint = f"join the group {GROUP}, or use sudo"
        return NeedsPrivilege(f"{path} may not be opened", hint=hint)
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR):
        message = f"nothing answers at {path}"
    else:
        message = f"{path}: {error.strerror or error}"
    return EndpointNotRunning(
        message, path=str(path), hint="start the endpoint, or name its socket with --socket"
    )
