"""NAT state in a file between two processes that do not meet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone.kept_state import LONGEST, KeptState
from firezone.legacy import Memory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


@pytest.fixture
def kept(tmp_path: Path, log: CapturingLogger) -> KeptState:
    logger = structlog.wrap_logger(log, processors=[lambda _l, _m, e: e])
    return KeptState(tmp_path / "nat.state", logger)


def memory(seconds: float = 0) -> Memory:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return Memory("gateway", now - int(seconds * 1e9), b"state")


def test_r38_state_is_kept_for_one_process(kept: KeptState, tmp_path: Path) -> None:
    kept.write(memory())

    assert (tmp_path / "nat.state").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["nat.state"]
    taken = kept.take("gateway")
    assert taken is not None
    assert taken.state == b"state"
    assert kept.take("gateway") is None


@pytest.mark.parametrize("seconds", [LONGEST + 60, -60])
def test_r38_state_that_is_too_old_or_of_a_later_time_is_not_used(
    seconds: float, kept: KeptState
) -> None:
    kept.write(memory(seconds))

    assert kept.take("gateway") is None


def test_r38_what_cannot_be_read_or_written_is_told(
    kept: KeptState, log: CapturingLogger, tmp_path: Path
) -> None:
    kept.write(memory())
    assert kept.take("client") is None
    (tmp_path / "nat.new").mkdir()
    kept.write(memory())

    told = [(call.method_name, call.kwargs["event_name"]) for call in log.calls]
    assert told == [("info", "state.unread"), ("warning", "state.unwritten")]
