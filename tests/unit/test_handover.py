"""A successor asks the process that runs for everything it has."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone.errors import FirezoneError, NeedsPrivilege
from firezone.handover import Grant, HandoverServer, SocketSuccessor, take_over
from firezone.legacy import Descriptor, Legacy, Memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES = ["tun", "memory"]


class Running:
    """A process that answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refusal: str | None = None
        self.successors: asyncio.Queue[SocketSuccessor] = asyncio.Queue()

    def requested(self, successor: SocketSuccessor) -> str | None:
        if self.refusal is None:
            self.successors.put_nowait(successor)
        return self.refusal

    async def ask(self) -> Grant | None:
        return await asyncio.to_thread(take_over, self.path)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path / "socket")
    async with HandoverServer(running.path, running.requested, structlog.get_logger()):
        yield running


def legacy() -> Legacy:
    return Legacy([Descriptor("tun", os.open("/dev/null", os.O_RDONLY))], Memory("client", 1))


async def given(running: Running) -> tuple[SocketSuccessor, Grant]:
    asking = asyncio.create_task(running.ask())
    successor = await running.successors.get()
    left = legacy()
    successor.give(left)
    left.close()
    grant = await asking
    assert grant is not None
    return successor, grant


async def test_r38_everything_crosses_and_is_confirmed(running: Running) -> None:
    successor, grant = await given(running)

    assert [descriptor.name for descriptor in grant.descriptors] == NAMES
    assert not any(os.get_inheritable(number) for _, number in grant.descriptors)
    grant.confirm()
    assert await successor.confirmed()
    successor.close()
    for _, number in grant.descriptors:
        os.close(number)


async def test_r38_a_successor_that_goes_without_a_word_has_not_begun(running: Running) -> None:
    successor, grant = await given(running)

    grant.close()

    with pytest.raises(FirezoneError, match="before it had begun"):
        await successor.confirmed()
    successor.close()
    for _, number in grant.descriptors:
        os.close(number)


async def test_r38_a_refusal_is_told(running: Running) -> None:
    running.refusal = "it is ending"

    with pytest.raises(FirezoneError, match="does not hand over: it is ending"):
        await running.ask()


async def test_r38_a_process_that_dies_meanwhile_is_told(running: Running) -> None:
    asking = asyncio.create_task(running.ask())
    (await running.successors.get()).close()

    with pytest.raises(FirezoneError, match="did not hand over"):
        await asking


async def test_r38_only_root_and_its_own_user_may_ask(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)

    with pytest.raises(FirezoneError, match="neither root nor the user"):
        await running.ask()


@pytest.mark.parametrize("request_", [b"\n", b"[]\n", b'{"take_over": 2}\n', b"[" * 4000])
async def test_r38_noise_gets_nothing_and_ends_nothing(running: Running, request_: bytes) -> None:
    def ask() -> bytes:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(20)
            asking.connect(str(running.path))
            asking.sendall(request_)
            return asking.recv(4096)

    assert b"refused" in await asyncio.to_thread(ask)
    assert running.successors.empty()
    successor, grant = await given(running)
    grant.close()
    successor.close()
    for _, number in grant.descriptors:
        os.close(number)


def test_r38_nobody_runs(tmp_path: Path) -> None:
    assert take_over(tmp_path / "nobody") is None
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "gone"))
    assert take_over(tmp_path / "gone") is None


def test_r38_a_socket_that_may_not_be_opened_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", refuse)

    with pytest.raises(NeedsPrivilege, match="may not be opened"):
        take_over(tmp_path / "socket")


async def test_a_path_that_cannot_be_used_is_told_and_all_else_goes_on(tmp_path: Path) -> None:
    told = CapturingLogger()
    log = structlog.wrap_logger(told, processors=[lambda _l, _m, e: e])

    async with HandoverServer(tmp_path / ("x" * 200), lambda _: None, log):
        pass

    assert [call.kwargs["event_name"] for call in told.calls] == ["handover.unreachable"]
