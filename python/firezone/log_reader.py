"""Reads log files in order of time: those of all roles in a folder, also while they grow."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import FirezoneError, NeedsPrivilege
from .log_lines import Record, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Entry", "LogReader"]


@dataclass(order=True)
class Entry:
    """A line of a log file.

    Args:
        time: Nanoseconds since 1970; a bad line has the time of the one before it.
        text: The line as it is, without its newline.
        record: What it says; None for a bad line.
    """

    time: int
    text: str = field(compare=False)
    record: Record | None = field(compare=False)


class LogReader:
    """Reads what the files of a folder, or one file, have, and later what was added.

    Args:
        path: The folder, whose files match `*.log`, or the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[Path, _File] = {}

    def read(self, *, to_the_end: bool) -> Iterator[Entry]:
        """Yield what was not yet read, the earliest first.

        Args:
            to_the_end: Whether a line without its newline is one; otherwise it waits for its rest.

        Raises:
            FirezoneError: There is nothing to read.
            NeedsPrivilege: It may not be read.
        """
        for path in self._paths():
            self._files.setdefault(path, _File(path))
        readers = [file.read(to_the_end=to_the_end) for file in self._files.values()]
        try:
            yield from heapq.merge(*readers)
        except PermissionError as error:
            raise _forbidden(error) from error

    def _paths(self) -> list[Path]:
        try:
            if not self._path.is_dir():
                self._path.stat()
                return [self._path]
            return sorted(self._path.glob("*.log"))
        except FileNotFoundError as error:
            hint = "name the folder with --path, or set LOG_DIR"
            raise FirezoneError(f"{self._path} does not exist", hint=hint) from error
        except PermissionError as error:
            raise _forbidden(error) from error


@dataclass
class _File:
    path: Path
    offset: int = 0
    time: int = 0

    def read(self, *, to_the_end: bool) -> Iterator[Entry]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            # The oldest are removed at any time.
            return
        with file:
            if file.seek(0, 2) < self.offset:
                self.offset = 0
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n") and not to_the_end:
                    return
                self.offset += len(line)
                if line.strip():
                    yield self._entry(line)

    def _entry(self, line: bytes) -> Entry:
        record = from_json(line)
        if record is not None:
            self.time = record.time
        return Entry(self.time, line.decode("utf-8", "replace").rstrip("\r\n"), record)


def _forbidden(error: PermissionError) -> NeedsPrivilege:
    return NeedsPrivilege(f"{error.filename} may not be read", hint="use sudo")
