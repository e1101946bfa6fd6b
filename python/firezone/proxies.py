"""Proxy addresses that names were given, in a file: a new process gives them the same ones.

A program that holds an address must not reach another name by it after a restart (R08, R23).
"""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final, TextIO

from .errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

__all__ = ["ProxyFile"]

MOST: Final = 65_536
"""Names that are kept, the latest; the core itself gives addresses anew when they run out."""


class ProxyFile:
    """A line of JSON for each name, appended when it is given addresses; read once, at the start.

    Args:
        path: The file.
        log: Told of lines that cannot be read, and of a disk that is full.

    Raises:
        ConfigError: The file or its folder cannot be used.
    """

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        self._path = path
        self._log = log
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.names = self._read()
            self._lines = len(self.names)
            self._file: TextIO = self._rewritten()
        except OSError as error:
            message = f"{path}: {error.strerror or error}"
            raise ConfigError(message, hint="set state_dir to a folder of yours") from error

    def record(self, event: dict[str, Any]) -> None:
        """Take a `proxies_assigned` event of the core."""
        record = {name: event[name] for name in ("name", "ipv4", "ipv6")}
        if self.names.get(record["name"]) == record:
            return
        # The latest place in the order counts, here as when it is read.
        self.names.pop(record["name"], None)
        self.names[record["name"]] = record
        if len(self.names) > MOST:
            del self.names[next(iter(self.names))]
        self._lines += 1
        try:
            if self._lines > 2 * MOST:
                self._begin()
            else:
                self._file.write(json.dumps(record) + "\n")
                self._file.flush()
        except OSError as error:
            self._unrecorded(error)

    def command(self) -> dict[str, Any]:
        """Return the command that gives a new core the recorded addresses."""
        return {"type": "restore_proxies", "names": list(self.names.values())}

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            self._unrecorded(error)

    def _begin(self) -> None:
        """Begin the file anew with what counts; the former one's lines are all in memory."""
        former, self._file = self._file, self._rewritten()
        self._lines = len(self.names)
        former.close()

    def _unrecorded(self, error: OSError) -> None:
        self._log.warning(
            "proxy addresses could not be recorded",
            event_name="proxies.unrecorded",
            reason=str(error),
        )

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        names: dict[str, dict[str, Any]] = {}
        torn = 0
        for line in lines:
            record = _parsed(line)
            if record is None:
                torn += 1
                continue
            # The latest place in the order counts.
            names.pop(record["name"], None)
            names[record["name"]] = record
        if torn:
            # A process was killed while it wrote, or somebody edited.
            self._log.warning(
                "lines of recorded proxy addresses were passed over",
                event_name="proxies.torn",
                lines=torn,
            )
        return dict(list(names.items())[-MOST:])

    def _rewritten(self) -> TextIO:
        """Write what counts into a new file that takes the old one's place; return it to append."""
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8", opener=_private) as file:
            file.writelines(json.dumps(record) + "\n" for record in self.names.values())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        return self._path.open("a", encoding="utf-8")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        ipv4 = [str(IPv4Address(address)) for address in record["ipv4"]]
        ipv6 = [str(IPv6Address(address)) for address in record["ipv6"]]
        name = record["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    whole = isinstance(name, str) and len(ipv4) == len(ipv6) == 4  # noqa: PLR2004
    return {"name": name, "ipv4": ipv4, "ipv6": ipv6} if whole else None
