"""Recorded proxy addresses."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone import proxies
from firezone.errors import ConfigError
from firezone.proxies import ProxyFile

if TYPE_CHECKING:
    from pathlib import Path


def record(name: str, number: int = 0) -> dict[str, Any]:
    ipv4 = [f"100.96.{number}.{last}" for last in range(4)]
    return {"name": name, "ipv4": ipv4, "ipv6": [f"fd00::{number}:{last}" for last in range(4)]}


def event(name: str, number: int = 0) -> dict[str, Any]:
    return {"type": "proxies_assigned", **record(name, number)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "proxies.jsonl"


@pytest.fixture
def told() -> CapturingLogger:
    return CapturingLogger()


def opened(path: Path, told: CapturingLogger | None = None) -> ProxyFile:
    log = structlog.wrap_logger(told or CapturingLogger(), processors=[lambda _l, _m, e: e])
    return ProxyFile(path, log)


def test_r08_a_new_process_gives_names_the_same_addresses(path: Path) -> None:
    first = opened(path)
    first.record(event("a.example"))
    first.record(event("b.example", 1))
    first.record(event("a.example", 2))
    # Without close: it was killed.

    again = opened(path)

    assert again.command() == {
        "type": "restore_proxies",
        "names": [record("b.example", 1), record("a.example", 2)],
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    first.close()
    again.close()


def test_what_is_known_is_not_written_again(path: Path) -> None:
    file = opened(path)
    file.record(event("a.example"))
    size = path.stat().st_size
    file.record(event("a.example"))
    file.close()

    assert path.stat().st_size == size > 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"name": "b.exa',
        b"\x00\x00\x00",
        b"\xff\xfe",
        b"[]",
        b"5",
        b'"text"',
        b"null",
        b"[" * 100_000,
        json.dumps({**record("b"), "name": 5}).encode(),
        json.dumps({**record("b"), "ipv4": ["100.96.0.1"] * 3}).encode(),
        json.dumps({**record("b"), "ipv6": ["fd00::1"] * 5}).encode(),
        json.dumps({**record("b"), "ipv4": ["fd00::1"] * 4}).encode(),
        json.dumps({**record("b"), "ipv4": None}).encode(),
        b'{"name": "b"}',
    ],
)
def test_a_torn_line_costs_no_other(line: bytes, path: Path, told: CapturingLogger) -> None:
    path.parent.mkdir()
    whole = [json.dumps(record(name)).encode() for name in ("a", "c")]
    path.write_bytes(b"\n".join([whole[0], line, whole[1]]))

    file = opened(path, told)
    file.record(event("d"))
    file.close()

    assert list(file.names) == ["a", "c", "d"]
    assert [call.kwargs["event_name"] for call in told.calls] == ["proxies.torn"]
    assert told.calls[0].kwargs["lines"] == 1
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["a", "c", "d"]


def test_a_line_torn_at_the_end_does_not_spoil_the_next(path: Path) -> None:
    path.parent.mkdir()
    text = json.dumps(record("a")) + "\n" + json.dumps(record("b"))
    for length in range(len(text) + 1):
        path.write_text(text[:length])
        file = opened(path)
        file.record(event("c"))
        file.close()
        again = opened(path)
        again.close()
        assert list(again.names)[-1] == "c"


def test_the_latest_are_kept_and_the_file_does_not_grow_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies, "MOST", 4)
    file = opened(path)
    for number in range(50):
        file.record(event(f"n{number}", number))
        assert len(path.read_text().splitlines()) <= 8
    file.close()

    again = opened(path)
    again.close()

    assert list(file.names) == list(again.names) == ["n46", "n47", "n48", "n49"]


def test_a_full_disk_is_told_and_nothing_else(path: Path, told: CapturingLogger) -> None:
    file = opened(path, told)
    file._file.close()
    file._file = open("/dev/full", "a", encoding="utf-8")  # noqa: PTH123, SIM115

    file.record(event("a"))
    file.close()

    assert {call.kwargs["event_name"] for call in told.calls} == {"proxies.unrecorded"}
    assert list(file.names) == ["a"]


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="file") as caught:
        opened(tmp_path / "file" / "proxies.jsonl")

    assert "state_dir" in str(caught.value.hint)
