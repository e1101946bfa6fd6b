"""How a running endpoint begins, follows signals, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone import daemon
from firezone.control import ControlClient
from firezone.daemon import Lifecycle, ended, undone
from firezone.errors import ConfigError, FirezoneError, NeedsPrivilege

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is the case, which no event tells."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Endpoint:
    """A Lifecycle with everything that it tells and is told."""

    def __init__(self, folder: Path) -> None:
        self.told = CapturingLogger()
        logger = structlog.wrap_logger(self.told, processors=[lambda _l, _m, e: e])
        self.logs: Any = SimpleNamespace(logger=logger, level="info")
        self.socket = folder / "control.sock"
        self.reloads = 0
        self.refusal: Exception | None = None
        settings: Any = SimpleNamespace(control_socket=self.socket, run_dir=folder)
        self.lifecycle = Lifecycle("client", settings, self.logs, self.reload)

    async def reload(self) -> None:
        self.reloads += 1
        if self.refusal is not None:
            raise self.refusal

    async def run(self) -> None:
        await self.lifecycle.run({}, lambda: "fine")

    def events(self) -> list[str]:
        return [call.kwargs["event_name"] for call in self.told.calls]

    async def until(self, event: str, times: int = 1) -> None:
        await eventually(lambda: self.events().count(event) >= times)

    async def call(self, method: str) -> Any:
        def ask() -> Any:
            with ControlClient(self.socket) as control:
                return control.call(method)

        return await asyncio.to_thread(ask)


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(daemon, "notify", lambda *told: lines.extend(told))
    return lines


@pytest.fixture
async def endpoint(tmp_path: Path, systemd: list[str]) -> AsyncIterator[Endpoint]:
    assert systemd == []
    endpoint = Endpoint(tmp_path)
    with endpoint.lifecycle.signals():
        yield endpoint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(
    number: signal.Signals, endpoint: Endpoint, systemd: list[str]
) -> None:
    running = asyncio.create_task(endpoint.run())
    await endpoint.until("client.ready")

    os.kill(os.getpid(), number)
    await running

    assert endpoint.events() == ["client.ready", "client.ending"]
    assert systemd == ["READY=1", "STATUS=fine", "STOPPING=1"]
    assert not endpoint.socket.exists()


async def test_stop_ends_it_after_its_answer(endpoint: Endpoint) -> None:
    running = asyncio.create_task(endpoint.run())
    await endpoint.until("client.ready")

    assert await endpoint.call("uptime") >= 0
    assert await endpoint.call("stop") == "stopping"
    await running


async def test_a_hang_up_reloads(endpoint: Endpoint, systemd: list[str]) -> None:
    running = asyncio.create_task(endpoint.run())
    await endpoint.until("client.ready")

    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: systemd.count("READY=1") == 2)
    assert await endpoint.call("reload") == "reloaded"
    endpoint.lifecycle.end()
    await running

    assert endpoint.reloads == 2
    assert systemd[2] == "RELOADING=1"
    assert systemd[3].startswith("MONOTONIC_USEC=")


@pytest.mark.parametrize(
    ("refusal", "event"),
    [(ConfigError("no"), "config.refused"), (RuntimeError("a fault"), "config.failed")],
)
async def test_a_file_that_is_refused_ends_nothing(
    refusal: Exception, event: str, endpoint: Endpoint, systemd: list[str]
) -> None:
    endpoint.refusal = refusal
    running = asyncio.create_task(endpoint.run())
    await endpoint.until("client.ready")

    os.kill(os.getpid(), signal.SIGHUP)
    await endpoint.until(event)
    with pytest.raises(FirezoneError, match=r"no|RuntimeError"):
        await endpoint.call("reload")

    assert not running.done()
    endpoint.lifecycle.end()
    await running
    assert systemd[-2:] == ["READY=1", "STOPPING=1"]


async def test_two_reloads_do_not_mix(endpoint: Endpoint) -> None:
    steps: list[str] = []

    async def reload() -> None:
        steps.append("begin")
        await asyncio.sleep(0)
        steps.append("end")

    endpoint.lifecycle._reload = reload
    await asyncio.gather(*(endpoint.lifecycle._reload_once() for _ in range(3)))

    assert steps == ["begin", "end"] * 3


async def test_a_signal_before_it_is_ready_counts(endpoint: Endpoint, systemd: list[str]) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: endpoint.lifecycle._is_reload_due)
    assert endpoint.reloads == 0
    running = asyncio.create_task(endpoint.run())
    await eventually(lambda: endpoint.reloads == 1)
    endpoint.lifecycle.end()
    await running
    assert "RELOADING=1" in systemd


async def test_an_end_before_it_is_ready_is_no_readiness(
    endpoint: Endpoint, systemd: list[str]
) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(endpoint.lifecycle._ended.is_set)

    await endpoint.run()

    assert systemd == ["STOPPING=1"]


async def test_a_fault_in_what_is_watched_ends_it_with_that_fault(endpoint: Endpoint) -> None:
    async def fail() -> None:
        await endpoint.until("client.ready")
        raise NeedsPrivilege("netlink said no")

    endpoint.lifecycle.watch(fail())
    endpoint.lifecycle.watch(asyncio.sleep(3600))
    with pytest.raises(NeedsPrivilege, match="netlink said no"):
        await endpoint.run()

    assert endpoint.lifecycle._tasks == set()


async def test_the_first_fault_counts(endpoint: Endpoint) -> None:
    endpoint.lifecycle.end(ConfigError("first"))
    endpoint.lifecycle.end(ConfigError("second"))
    endpoint.lifecycle.end()

    with pytest.raises(ConfigError, match="first"):
        await endpoint.run()


async def test_an_unexpected_fault_is_told_as_ours(endpoint: Endpoint) -> None:
    async def fail() -> None:
        raise RuntimeError("what is this")

    endpoint.lifecycle.watch(fail())
    with pytest.raises(FirezoneError, match="unexpected RuntimeError: what is this") as caught:
        await endpoint.run()

    assert "fault in firezone" in str(caught.value.hint)


async def test_what_is_watched_may_end_by_itself(endpoint: Endpoint) -> None:
    endpoint.lifecycle.watch(asyncio.sleep(0))
    running = asyncio.create_task(endpoint.run())
    await endpoint.until("client.ready")

    assert not running.done()
    endpoint.lifecycle.end()
    await running


async def test_without_a_core_there_is_no_endpoint(endpoint: Endpoint) -> None:
    stopped = asyncio.Event()

    async def orchestration() -> None:
        await stopped.wait()

    following = endpoint.lifecycle.follow(orchestration())
    running = asyncio.create_task(endpoint.run())
    await endpoint.until("client.ready")
    stopped.set()

    with pytest.raises(FirezoneError, match="the data plane has stopped by itself"):
        await running
    await ended(following)


async def test_a_core_that_is_stopped_at_the_end_is_no_fault(endpoint: Endpoint) -> None:
    following = endpoint.lifecycle.follow(asyncio.sleep(3600))
    endpoint.lifecycle.end()

    await endpoint.run()
    await ended(following)

    assert following.cancelled()


def test_what_cannot_be_undone_is_told_and_hides_nothing() -> None:
    told = CapturingLogger()
    logs: Any = SimpleNamespace(
        logger=structlog.wrap_logger(told, processors=[lambda _l, _m, e: e])
    )

    def fail() -> None:
        raise FirezoneError("a route stays")

    with contextlib.suppress(ValueError), undone(fail, logs):
        raise ValueError

    assert [call.kwargs["event_name"] for call in told.calls] == ["host.left"]
    assert told.calls[0].kwargs["reason"] == "a route stays"
