"""What is left with a service manager, and what is found there."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone import descriptor_store, inheritance
from firezone.descriptor_store import StoreSuccessor, is_restarting, stored
from firezone.errors import FirezoneError
from firezone.host import programs
from firezone.legacy import Descriptor, Legacy, Memory
from firezone.notify import barrier, notify

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield manager


def told(manager: socket.socket) -> tuple[list[str], list[int]]:
    message, numbers, _, _ = socket.recv_fds(manager, 4096, 16)
    return message.decode().splitlines(), numbers


def test_r38_everything_is_left_but_the_lock(manager: socket.socket) -> None:
    lock = os.open("/dev/null", os.O_RDONLY)
    legacy = Legacy(
        [Descriptor("tun", os.open("/dev/null", os.O_RDONLY))], Memory("gateway", 1, b"s"), lock
    )
    giving = threading.Thread(target=StoreSuccessor().give, args=(legacy,))
    giving.start()

    stores = [told(manager), told(manager)]
    (last, barriers) = told(manager)

    assert giving.is_alive(), "it waits until everything was read"
    for number in barriers:
        os.close(number)
    giving.join(20)
    assert last == ["BARRIER=1"]
    assert [lines for lines, _ in stores] == [
        ["FDSTORE=1", f"FDNAME=firezone-{name}", "FDPOLL=0"] for name in ("tun", "memory")
    ]
    for _, numbers in stores:
        os.close(numbers[0])
    legacy.close()
    os.close(lock)


def test_r38_a_manager_that_takes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    legacy = Legacy([Descriptor("tun", os.open("/dev/null", os.O_RDONLY))])

    with pytest.raises(FirezoneError, match="does not take"):
        StoreSuccessor().give(legacy)

    legacy.close()


def test_r38_what_was_left_is_found_once_and_forgotten_there(manager: socket.socket) -> None:
    environment = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": "3",
        "LISTEN_FDNAMES": "firezone-tun:other:firezone-memory",
        "KEPT": "1",
    }

    found = stored(environment)

    assert found == [Descriptor("tun", 3), Descriptor("memory", 5)]
    assert environment == {"KEPT": "1"}
    forgotten = [told(manager)[0] for _ in range(4)]
    assert ["FDSTOREREMOVE=1", "FDNAME=firezone-tun"] in forgotten


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "firezone-tun"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x", "LISTEN_FDNAMES": "firezone-tun"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mine"},
    ],
)
def test_r38_what_is_not_for_this_process_is_left(environment: dict[str, str]) -> None:
    assert stored(environment) == []


def test_a_barrier_without_a_manager_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    assert not barrier()
    assert not notify("READY=1")

    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize(
    ("shown", "is_restart"),
    [
        ("12 firezone-gateway.service restart running\n", True),
        ("12 firezone-gateway.service try-restart waiting\n", True),
        ("12 firezone-gateway.service stop running\n", False),
        ("12 other.service restart running\n", False),
        ("No jobs running.\n", False),
        ("", False),
    ],
)
def test_r38_a_restart_is_told_from_a_stop(
    shown: str, is_restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "run", lambda *_a, **_k: shown)

    assert is_restarting("firezone-gateway.service") is is_restart


@pytest.mark.parametrize("how", ["off", "restart", "always"])
async def test_r38_without_an_answer_it_is_a_stop(
    how: str, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_a: object, **_k: object) -> str:
        message = "no bus"
        raise FirezoneError(message)

    assert manager.fileno() > 0
    monkeypatch.setattr(descriptor_store.programs, "run", fail)
    monkeypatch.setattr(inheritance, "own_unit", lambda: "firezone-gateway.service")
    told = CapturingLogger()
    log = structlog.wrap_logger(told, processors=[lambda _l, _m, e: e])
    lifecycle: Any = SimpleNamespace(successor=None, is_terminated=True)
    settings: Any = SimpleNamespace(descriptor_store=how)

    successor = await inheritance.successor_of(lifecycle, settings, log)

    assert (successor is not None) == (how == "always")
    events = [call.kwargs["event_name"] for call in told.calls]
    assert events == (["handover.unknown"] if how == "restart" else [])


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/firezone-gateway.service\n", "firezone-gateway.service"),
        ("0::/user.slice/user@0.service/app.slice/my.service/x\n", "my.service"),
        ("0::/\n", None),
    ],
)
def test_the_unit_of_a_process_is_known(
    text: str, unit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inheritance.Path, "read_text", lambda *_a, **_k: text)

    assert inheritance.own_unit() == unit
