"""A service manager with a descriptor store, as far as systemd's protocol goes: sd_notify(3)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ServiceManager"]

# Where a shell finds them, above all that it uses itself.
_HIGH = 100
_START = """
{moves}
export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}
exec "$@"
"""


class ServiceManager:
    """Keeps what one service leaves, and gives it to that service's next process.

    Args:
        path: Of the socket on which it is told.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._store: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self.told: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()
        self.drop()

    @property
    def names(self) -> list[str]:
        """What is kept."""
        with self._lock:
            return [name for name, _ in self._store]

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells a service of it."""
        return {"NOTIFY_SOCKET": str(self._path)}

    def drop(self) -> None:
        """Close what is kept, as at a stop."""
        with self._lock:
            for _, number in self._store:
                os.close(number)
            self._store.clear()

    def descriptor(self, name: str) -> int:
        """Return one that is kept."""
        with self._lock:
            return next(number for known, number in self._store if known == name)

    def replace(self, name: str, number: int) -> None:
        """Keep another in the place of one."""
        with self._lock:
            at = next(i for i, (known, _) in enumerate(self._store) if known == name)
            os.close(self._store[at][1])
            self._store[at] = (name, number)

    def start(self) -> tuple[list[str], list[int]]:
        """Return what starts a command with what is kept, and descriptors to pass to that."""
        with self._lock:
            store = list(self._store)
        numbers = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH) for _, number in store]
        moves = "\n".join(f"exec {3 + i}<&{n} {n}<&-" for i, n in enumerate(numbers))
        names = ":".join(name for name, _ in store)
        script = _START.format(moves=moves, count=len(store), names=names)
        return ["bash", "-c", script, "bash"], numbers

    def _listen(self) -> None:
        while not self._is_over.is_set():
            if not select.select([self._socket], [], [], 0.05)[0]:
                continue
            message, numbers, _, _ = socket.recv_fds(self._socket, 4096, 16)
            fields = dict(line.partition("=")[::2] for line in message.decode().splitlines())
            with self._lock:
                self.told += message.decode().splitlines()
                if "FDSTORE" in fields:
                    assert fields["FDPOLL"] == "0", "a socket whose other end is closed would go"
                    self._store += [(fields["FDNAME"], number) for number in numbers]
                    continue
                if "FDSTOREREMOVE" in fields:
                    gone = [n for name, n in self._store if name == fields["FDNAME"]]
                    self._store = [each for each in self._store if each[1] not in gone]
                    numbers += gone
            for number in numbers:
                with contextlib.suppress(OSError):
                    os.close(number)
