"""The log files of a role: names, rotation, retention, repair, and a disk that is full."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firezone import log_files
from firezone.errors import ConfigError, NeedsPrivilege
from firezone.log_files import PATTERN, LogFiles, default_folder
from firezone.log_lines import Record, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JQ = r'"\(.time) \(.severity) \(.message)"'
OLD = "client.20200101T000000.000000000Z.log"
WRITER = """
import sys, time
from pathlib import Path
from firezone.log_files import LogFiles
from firezone.log_lines import Record, to_json
files = LogFiles("client", Path(sys.argv[1]), file_bytes=20_000, total_bytes=400_000)
print("ready", flush=True)
while True:
    files.write(to_json(Record(time.time_ns(), "INFO", "x" * 3000)))
"""


def line(message: str) -> bytes:
    return to_json(Record(1_795_622_400_000_000_000, "INFO", message))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines(folder: Path) -> list[bytes]:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.log"))).splitlines()


def jq(folder: Path) -> list[str]:
    """Read the folder as the contract says."""
    command = f"cat {folder}/*.log | jq -r '{JQ}'"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_file_has_the_roles_name_the_time_and_no_readers(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "logs"
    files = LogFiles("gateway", folder)
    files.write(line("first"))
    files.close()

    (name,) = names(folder)
    match = PATTERN.fullmatch(name)
    assert match is not None
    assert match[1] == "gateway"
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        files = LogFiles("client", tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(files.path.stat().st_mode) == 0o600
    files.close()


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    write = os.write

    def counting(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counting)
    files = LogFiles("client", tmp_path)
    expected = [line(str(number)) for number in range(5)]
    for each in expected:
        files.write(each)
    files.close()

    assert written == expected


def test_a_full_file_is_followed_by_a_new_one_of_a_later_time(tmp_path: Path) -> None:
    files = LogFiles("client", tmp_path, file_bytes=1000)
    for number in range(100):
        files.write(line(f"{number:03}"))
    files.close()

    assert len(names(tmp_path)) > 5
    assert all(PATTERN.fullmatch(name) for name in names(tmp_path))
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    # In the order of the names: all lines, in order.
    assert [entry.split()[-1] for entry in jq(tmp_path)] == [f"{n:03}" for n in range(100)]


def test_two_files_of_one_nanosecond_have_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files.time, "time_ns", lambda: 7)

    one, two = LogFiles("client", tmp_path), LogFiles("client", tmp_path)

    assert one.path != two.path
    one.close()
    two.close()


def test_the_oldest_files_of_the_role_go(tmp_path: Path) -> None:
    other = tmp_path / OLD.replace("client", "gateway")
    other.write_bytes(line("of another role") * 100)
    foreign = tmp_path / "notes.log"
    foreign.write_bytes(line("of somebody else") * 100)
    files = LogFiles("client", tmp_path, file_bytes=1000, total_bytes=3000)

    for number in range(200):
        files.write(line(f"{number:03}"))
    files.close()

    mine = sorted(tmp_path.glob("client.*.log"))
    assert sum(path.stat().st_size for path in mine) <= 3000
    assert b"199" in mine[-1].read_bytes()
    assert other.exists()
    assert foreign.exists()


def test_a_file_that_a_living_process_writes_stays(tmp_path: Path) -> None:
    living = LogFiles("client", tmp_path, file_bytes=1000, total_bytes=2000)
    living.write(line("alive"))
    files = LogFiles("client", tmp_path, file_bytes=1000, total_bytes=2000)

    for number in range(200):
        files.write(line(str(number)))
    living.write(line("still alive"))
    files.close()
    living.close()

    assert [from_json(each).message for each in living.path.read_bytes().splitlines()] == [  # type: ignore[union-attr]
        "alive",
        "still alive",
    ]


def test_a_file_without_a_last_newline_is_never_appended_to(tmp_path: Path) -> None:
    whole, torn = line("whole"), line("torn")[:-20]
    old = tmp_path / OLD
    old.write_bytes(whole + torn)

    files = LogFiles("client", tmp_path)
    files.write(line("new"))
    files.close()

    assert old.read_bytes() == whole
    assert [entry.split(maxsplit=2)[2] for entry in jq(tmp_path)] == [
        "whole",
        "a line was cut off when its process ended",
        "new",
    ]
    told = from_json(files.path.read_bytes().splitlines()[0])
    assert told is not None
    assert told.fields == {"event": "log.torn", "file": OLD, "rest": torn.decode()}


def test_what_a_living_process_is_writing_is_not_repaired(tmp_path: Path) -> None:
    living = LogFiles("gateway", tmp_path)
    living.path.write_bytes(b'{"half')

    LogFiles("client", tmp_path).close()

    assert living.path.read_bytes() == b'{"half'
    living.close()


@pytest.mark.parametrize("content", [b"", b"\n", b'{"all of it is torn'])
def test_files_with_nothing_whole_are_read_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / OLD).write_bytes(content)

    files = LogFiles("client", tmp_path)
    files.write(line("new"))
    files.close()

    assert jq(tmp_path)[-1].endswith("INFO new")


def test_a_rest_longer_than_any_line_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / OLD).write_bytes(b"x" * 200_000)

    LogFiles("client", tmp_path).close()

    assert (tmp_path / OLD).stat().st_size == 200_000


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.11])
def test_every_line_reads_after_kill_9_in_mid_write(delay: float, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    with child:
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)

    # What the next process finds, and with the worst that a kill could leave.
    newest = max(tmp_path.glob("*.log"))
    with newest.open("ab") as file:
        file.write(line("y" * 3000)[:1500])
    files = LogFiles("client", tmp_path)
    files.write(line("after"))
    files.close()

    assert len(jq(tmp_path)) == len(lines(tmp_path))
    assert jq(tmp_path)[-1].endswith("INFO after")


def test_a_removed_file_is_followed_by_a_new_one(tmp_path: Path) -> None:
    files = LogFiles("client", tmp_path)
    files.write(line("lost with its file"))
    files.path.unlink()

    files.write(line("kept"))
    files.close()

    assert [entry.split()[-1] for entry in jq(tmp_path)] == ["kept"]


@contextmanager
def full(monkeypatch: pytest.MonkeyPatch, write: Callable[[int, bytes], int]) -> Iterator[None]:
    """Let the disk be full for a while."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        yield


def test_a_full_disk_is_told_once_counted_and_told_again_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    files = LogFiles("client", tmp_path, complain=told.append)
    files.write(line("before"))

    def no_room(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with full(monkeypatch, no_room):
        for _ in range(7):
            files.write(line("lost"))
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert files.lost == 7

    files.write(line("after"))
    files.close()

    assert len(told) == 2
    assert "7 were lost" in told[1]
    assert [entry.split(maxsplit=2)[2] for entry in jq(tmp_path)] == [
        "before",
        "after",
        "log lines were lost: the disk did not take them",
    ]
    lost = from_json(lines(tmp_path)[-1])
    assert lost is not None
    assert lost.fields == {"event": "log.lost", "lines": 7}


def test_half_a_line_on_a_full_disk_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LogFiles("client", tmp_path, complain=lambda _: None)
    files.write(line("before"))
    write = os.write

    with full(monkeypatch, lambda descriptor, data: write(descriptor, data[:10])):
        files.write(line("lost"))
    files.write(line("after"))
    files.close()

    assert [entry.split()[2] for entry in jq(tmp_path)] == ["before", "after", "log"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    told: list[str] = []
    try:
        files = LogFiles("client", tmp_path, file_bytes=8000, complain=told.append)
        for number in range(500):
            files.write(line(f"{number} {'x' * 1000}"))
        assert len(told) == 1
        assert files.lost > 100

        min(tmp_path.glob("*.log")).unlink()
        files.write(line("room again"))
        files.close()

        assert len(told) == 2
        assert len(jq(tmp_path)) == len(lines(tmp_path))
        assert any(entry.endswith("room again") for entry in jq(tmp_path))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_that_is_a_file_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="cannot hold logs"):
        LogFiles("client", tmp_path / "file")


def test_a_folder_that_may_not_be_used_is_a_matter_of_privilege(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NeedsPrivilege, match="Permission denied") as caught:
        LogFiles("client", tmp_path)
    assert "LOG_DIR" in str(caught.value.hint)


def test_a_role_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name of a role"):
        LogFiles("../client", tmp_path)


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOG_DIR", str(tmp_path))
    assert default_folder() == tmp_path

    monkeypatch.delenv("LOG_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_folder() == Path("/var/log/firezone")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "firezone" / "log"


def test_lines_of_the_contract_are_objects(tmp_path: Path) -> None:
    files = LogFiles("client", tmp_path)
    files.write(line("one"))
    files.close()

    document = json.loads(lines(tmp_path)[0])
    assert list(document)[:3] == ["time", "severity", "message"]
