"""The log files of one role: names, rotation by size, retention, repair, and a full disk.

A file is named `<role>.<UTC time>.log` and belongs to the process that created it, which holds a
lock on it (flock) for as long as it lives. Nobody else appends to it, so a line that a process left
half-written stays alone; the next process that opens the folder cuts it off and logs it as a field,
and `cat *.log | jq` reads every line again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs

from .errors import ConfigError, NeedsPrivilege
from .log_lines import Record, format_time, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LogFiles", "default_folder"]

FILE_BYTES: Final = 10 * 2**20
"""Size at which a new file is begun."""
TOTAL_BYTES: Final = 100 * 2**20
"""Size of all files of a role at which the oldest are removed."""
SYSTEM_FOLDER: Final = Path("/var/log/firezone")
PATTERN: Final = re.compile(r"([a-z][a-z0-9-]*)\.(\d{8}T\d{6}\.\d{6,9}Z)\.log")

_ROLE: Final = re.compile(r"[a-z][a-z0-9-]*")
_MODE: Final = 0o600
_TAIL: Final = 64 * 1024


def default_folder() -> Path:
    """Return where logs are: LOG_DIR, else the system's folder for root, else the user's."""
    if override := os.environ.get("LOG_DIR"):
        return Path(override)
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    return Path(platformdirs.user_log_dir("firezone"))


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")


class LogFiles:
    """Appends lines, each by one write, and never raises for a disk that is full.

    Not for several threads at once; `firezone.log_order` has the one that writes.

    Args:
        role: First part of the names, like `client`.
        folder: Created with mode 0700 if it does not exist.
        file_bytes: A new file is begun before one becomes longer.
        total_bytes: The oldest files of the role go when all are longer.
        complain: Told, in a line, when writing stops and when it goes on; stderr by default.

    Raises:
        ConfigError: The folder cannot be used.
        NeedsPrivilege: It may not be used.
    """

    def __init__(
        self,
        role: str,
        folder: Path,
        *,
        file_bytes: int = FILE_BYTES,
        total_bytes: int = TOTAL_BYTES,
        complain: Callable[[str], None] = _say,
    ) -> None:
        if _ROLE.fullmatch(role) is None:
            message = f"{role!r} is no name of a role: small letters, digits and hyphens"
            raise ValueError(message)
        self.folder = folder
        self.lost = 0
        self._role = role
        self._file_bytes, self._total_bytes = file_bytes, total_bytes
        self._complain = complain
        self._descriptor: int | None = None
        self._path = folder
        self._size = 0
        self._failing = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin()
        except OSError as error:
            # A full disk may have room again when the first line comes.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise _unusable(folder, error) from error

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self._path

    def write(self, line: bytes) -> None:
        """Append a line, which ends with a newline; one that cannot be written is counted."""
        try:
            self._write(line)
        except OSError as error:
            self._failed(error)
        else:
            if self._failing:
                self._recovered()

    def close(self) -> None:
        """Give the file up; its lock ends."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, line: bytes) -> None:
        is_full = self._size > 0 and self._size + len(line) > self._file_bytes
        if self._descriptor is None or is_full or self._is_gone(self._descriptor):
            self._begin()
        self._append(line)

    def _append(self, line: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        written = os.write(descriptor, line)
        if written == len(line):
            self._size += written
            return
        # A part of a line must not stay; where it cannot be taken back the file is given up.
        try:
            os.ftruncate(descriptor, self._size)
        except OSError:
            self.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _is_gone(self, descriptor: int) -> bool:
        """Tell whether somebody removed the file: what is written into it is lost."""
        return os.fstat(descriptor).st_nlink == 0

    def _begin(self) -> None:
        """Begin a new file; the former stays in use if that fails."""
        path, descriptor = self._create()
        self.close()
        self._path, self._descriptor, self._size = path, descriptor, 0
        with contextlib.suppress(OSError):
            for torn in self._repair():
                self._append(torn)
            self._remove_oldest()

    def _create(self) -> tuple[Path, int]:
        now = time.time_ns()
        while True:
            stamp = format_time(now).replace("-", "").replace(":", "")
            path = self.folder / f"{self._role}.{stamp}.log"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            try:
                descriptor = os.open(path, flags, _MODE)
            except FileExistsError:
                now += 1
                continue
            # Some network file systems have no locks; then nothing there is repaired or removed.
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, _MODE)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path, descriptor

    def _files(self) -> list[tuple[str, Path]]:
        """Return all files of all roles, the oldest of each first, but the one in use."""
        found = []
        for path in sorted(self.folder.iterdir()):
            match = PATTERN.fullmatch(path.name)
            if match is not None and path != self._path:
                found.append((match[1], path))
        return found

    def _repair(self) -> list[bytes]:
        """Cut off what dead processes left half-written, and return lines that tell of it."""
        lines = []
        for _, path in self._files():
            with contextlib.suppress(OSError), _locked(path) as descriptor:
                rest = _cut(descriptor)
                if rest:
                    lines.append(_torn(path, rest))
        return lines

    def _remove_oldest(self) -> None:
        """Remove the oldest files of the role until all fit, this one at its full size."""
        sizes = []
        for role, path in self._files():
            with contextlib.suppress(OSError):
                if role == self._role:
                    sizes.append((path, path.stat().st_size))
        total = sum(size for _, size in sizes) + self._file_bytes
        for path, size in sizes:
            if total <= self._total_bytes:
                return
            # A file that a living process writes stays.
            with contextlib.suppress(OSError), _locked(path):
                path.unlink()
                total -= size

    def _failed(self, error: OSError) -> None:
        self.lost += 1
        self._failing += 1
        if self._failing == 1:
            self._complain(
                f"firezone: log lines are lost, {self.folder}: {error.strerror or error}"
            )

    def _recovered(self) -> None:
        lost, self._failing = self._failing, 0
        self._complain(f"firezone: log lines are written again, {lost} were lost")
        told = Record(
            time.time_ns(),
            "WARN",
            "log lines were lost: the disk did not take them",
            {"event": "log.lost", "lines": lost},
        )
        with contextlib.suppress(OSError):
            self._append(to_json(told))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file that no living process writes.

    Raises:
        OSError: One does, or it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _cut(descriptor: int) -> bytes:
    """Remove what stands after the last newline of a file and return it."""
    size = os.fstat(descriptor).st_size
    begin = max(0, size - _TAIL)
    tail = os.pread(descriptor, _TAIL, begin)
    if not tail or tail.endswith(b"\n"):
        return b""
    keep = tail.rfind(b"\n") + 1
    # Lines are shorter than the tail that was read; a longer rest is not ours to judge.
    if keep == 0 and begin > 0:
        return b""
    os.ftruncate(descriptor, begin + keep)
    return tail[keep:]


def _torn(path: Path, rest: bytes) -> bytes:
    text = rest[:4096].decode("utf-8", "replace")
    told = Record(
        time.time_ns(),
        "WARN",
        "a line was cut off when its process ended",
        {"event": "log.torn", "file": path.name, "rest": text},
    )
    return to_json(told)


def _unusable(folder: Path, error: OSError) -> ConfigError | NeedsPrivilege:
    message = f"{folder} cannot hold logs: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return NeedsPrivilege(message, hint="set LOG_DIR to a folder of yours, or run as root")
    return ConfigError(message, hint="set LOG_DIR or log_dir to a folder")
