"""The control socket, both ends, and everything that may be sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from firezone import control
from firezone.control import ControlClient, ControlServer, level_method, socket_path
from firezone.errors import (
    ConfigError,
    EndpointNotRunning,
    FirezoneError,
    NeedsPrivilege,
    TunnelTimeout,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


async def echo(params: dict[str, Any]) -> dict[str, Any]:
    return params


async def picky(_params: dict[str, Any]) -> None:
    message = "limit must be a number of rows"
    raise ValueError(message)


async def unable(_params: dict[str, Any]) -> None:
    message = "the core has stopped"
    raise EndpointNotRunning(message)


async def faulty(_params: dict[str, Any]) -> None:
    raise KeyError


async def big(_params: dict[str, Any]) -> list[str]:
    return ["x" * 1000] * 2000


METHODS = {"echo": echo, "picky": picky, "unable": unable, "faulty": faulty, "big": big}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "client.sock"


@pytest.fixture
async def server(path: Path) -> AsyncIterator[ControlServer]:
    async with ControlServer(path, METHODS) as server:
        yield server


async def raw(path: Path, data: bytes) -> list[dict[str, Any]]:
    """Send bytes and the end of input; return all answers."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=2**24)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        writer.write_eof()
    answers = []
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            answers.append(json.loads(line))
    writer.close()
    return answers


@pytest.mark.usefixtures("server")
async def test_a_call_is_answered(path: Path) -> None:
    def call() -> Any:
        with ControlClient(path) as client:
            return client.call("echo", a=1), client.call("echo"), len(client.call("big"))

    assert await asyncio.to_thread(call) == ({"a": 1}, {}, 2000)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("picky", "limit must be a number of rows"),
        ("unable", "the core has stopped"),
        ("faulty", "unexpected KeyError"),
        ("nothing", "no method 'nothing'; there are big, echo"),
    ],
)
async def test_what_cannot_be_done_is_told(method: str, text: str, path: Path) -> None:
    def call() -> None:
        with ControlClient(path) as client:
            client.call(method)

    with pytest.raises(FirezoneError, match=text):
        await asyncio.to_thread(call)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("line", "code", "number"),
    [
        (b"nonsense\n", "malformed", None),
        (b"\n", "malformed", None),
        (b"\xff\xfe\n", "malformed", None),
        (b"[" * 50_000 + b"\n", "malformed", None),
        (b"9" * 5000 + b"\n", "malformed", None),
        (b"[]\n", "invalid_request", None),
        (b"{}\n", "invalid_request", None),
        (b'{"id": [1], "method": "echo"}\n', "invalid_request", None),
        (b'{"id": 3, "method": 4}\n', "invalid_request", 3),
        (b'{"id": 3, "method": "echo", "params": []}\n', "invalid_request", 3),
        (b'{"id": "x", "method": "none"}\n', "unknown_method", "x"),
        (b'{"id": 5, "method": "picky"}\n', "invalid_params", 5),
        (b'{"id": 6, "method": "faulty"}\n', "failed", 6),
    ],
)
async def test_a_bad_request_gets_a_clear_error_and_the_next_one_its_answer(
    line: bytes, code: str, number: object, path: Path
) -> None:
    good = b'{"id": 9, "method": "echo", "params": {"k": 1}}\n'

    bad, answer = await raw(path, line + good)

    assert bad["id"] == number
    assert bad["error"]["code"] == code
    assert answer == {"id": 9, "result": {"k": 1}}


@pytest.mark.usefixtures("server")
async def test_a_request_too_large_is_told_and_ends_the_connection(path: Path) -> None:
    answers = await raw(path, b"x" * (control.LONGEST_REQUEST + 10) + b'\n{"method": "echo"}\n')

    assert [answer["error"]["code"] for answer in answers] == ["too_large"]
    assert await raw(path, b'{"id": 1, "method": "echo"}\n') == [{"id": 1, "result": {}}]


@pytest.mark.usefixtures("server")
async def test_half_a_request_is_none(path: Path) -> None:
    assert await raw(path, b'{"id": 1, "method"') == []


async def test_who_says_nothing_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE", 0.05)
    async with ControlServer(path, METHODS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        assert await reader.read() == b""
        writer.close()


async def test_connections_have_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_CONNECTIONS", 1)
    async with ControlServer(path, METHODS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"id": 1, "method": "echo"}\n')
        await reader.readline()
        answers = await raw(path, b'{"id": 1, "method": "echo"}\n')
        writer.close()

    assert answers[0]["error"]["code"] == "busy"


async def test_the_socket_is_its_owners_and_goes_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_group(_name: str) -> None:
        raise KeyError

    monkeypatch.setattr(grp, "getgrnam", no_group)
    async with ControlServer(path, METHODS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_the_group_may_use_the_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda _: grp.getgrgid(os.getgid()))
    async with ControlServer(path, METHODS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == os.getgid()


async def test_the_socket_of_a_process_that_died_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async with ControlServer(path, METHODS):
        assert await raw(path, b'{"id": 1, "method": "echo"}\n') == [{"id": 1, "result": {}}]


@pytest.mark.usefixtures("server")
async def test_the_socket_of_a_running_endpoint_is_left_alone(path: Path) -> None:
    with pytest.raises(FirezoneError, match="belongs to a running endpoint"):
        async with ControlServer(path, METHODS):
            pass
    assert await raw(path, b'{"id": 1, "method": "echo"}\n') == [{"id": 1, "result": {}}]


async def test_a_path_that_cannot_be_used_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / ("x" * 120), tmp_path / "file" / "a.sock", tmp_path / "file"):
        with pytest.raises(ConfigError, match=path.name):
            await ControlServer(path, METHODS).__aenter__()


async def test_a_folder_that_may_not_be_written_is_a_matter_of_privilege(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(NeedsPrivilege, match="Permission denied"):
        await ControlServer(path, METHODS).__aenter__()


def test_nothing_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none.sock", tmp_path / "file"):
        with pytest.raises(EndpointNotRunning, match="nothing answers") as caught:
            ControlClient(path)
        assert caught.value.path == str(path)
        assert "--socket" in str(caught.value.hint)


@contextlib.contextmanager
def answering(path: Path, answer: bytes | None) -> Iterator[None]:
    """Serve one connection that gets these bytes, or none and no end."""
    release = threading.Event()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            if answer is None:
                release.wait(20)
            else:
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        release.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", EndpointNotRunning),
        (b"nonsense\n", FirezoneError),
        (b'{"id": 7, "result": 1}\n', FirezoneError),
        (b'{"id": 1}\n', FirezoneError),
        (b"[]\n", FirezoneError),
        (b'{"error": 5}\n', FirezoneError),
    ],
)
def test_something_else_at_the_other_end_is_told(
    answer: bytes, kind: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "x.sock"
    with answering(path, answer), ControlClient(path) as client, pytest.raises(kind):
        client.call("echo")


def test_an_endpoint_that_is_stuck_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with (
        answering(path, None),
        ControlClient(path, patience=0.05) as client,
        pytest.raises(TunnelTimeout, match="no answer to echo"),
    ):
        client.call("echo")


async def test_the_level_is_told_and_changed() -> None:
    class Logs:
        level = "info"

    method = level_method(Logs())

    assert await method({}) == {"level": "info"}
    assert await method({"level": "debug"}) == {"level": "debug"}
    for params in ({"level": 3}, {"lvl": "info"}):
        with pytest.raises(ValueError, match="takes level"):
            await method(params)


def test_where_the_socket_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(socket_path("gateway")) == "/run/firezone/gateway.sock"

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert socket_path("gateway") == tmp_path / "firezone" / "gateway.sock"
