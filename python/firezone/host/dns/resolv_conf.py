"""Answering by /etc/resolv.conf: written in place, since a container mounts the file itself.

A copy of what was there is kept beside it. Somebody else's edit is never lost: what they wrote is
what comes back. A file that was replaced is taken over once more; the next time it is left.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError, FirezoneError, NeedsPrivilege
from firezone.host.journal import ResolvConfWritten

from .resolv_conf_text import has_sentinel, is_ours, nameservers, original_of, rewrite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from structlog.typing import FilteringBoundLogger

    from firezone.host.journal import Journal

__all__ = ["ResolvConfControl", "read", "restore", "write"]

_MOST_BYTES: Final = 2**20
_OTHER_WAY: Final = "FIREZONE_DNS_CONTROL=systemd-resolved"


class ResolvConfControl:
    """Writes the file.

    Args:
        journal: Where changes are written down.
        log: Where events go.
        path: The file.
        backup: Where a copy of what was there is kept.
    """

    def __init__(
        self, journal: Journal, *, log: FilteringBoundLogger, path: Path, backup: Path
    ) -> None:
        self._journal = journal
        self._log = log
        self._path = path
        self._backup = backup
        self._wanted: tuple[tuple[IPv4Address | IPv6Address, ...], tuple[str, ...]] = ((), ())
        self._seen: str | None = None
        self._is_taken_over_again = False
        self._is_given_up = False

    def apply(
        self,
        *,
        tun: str,
        sentinels: Sequence[IPv4Address | IPv6Address],
        search_domains: Sequence[str] = (),
        match_all: bool = True,
    ) -> None:
        """Write the file; `tun` and `match_all` say nothing here: such a file knows no domains."""
        del tun, match_all
        if not sentinels or self._is_given_up:
            return
        self._wanted = (tuple(sentinels), tuple(search_domains))
        current = read(self._path)
        self._take_over(current, self._original(current))

    def revert(self) -> None:
        """Write back what was there before."""
        for step in self._steps():
            restore(step, self._log)
            self._journal.forget(step)

    def flush(self) -> None:
        """Do nothing: programs that read such a file keep no answers."""

    def check(self) -> None:
        """Take a file that somebody replaced over once more; leave it the next time.

        What changes while it is looked at is looked at again later: a file may be half written.
        """
        steps = self._steps()
        if not steps or self._is_given_up:
            return
        current = read(self._path)
        is_still, self._seen = current == self._seen, current
        if current == steps[-1].text or not is_still or has_sentinel(current):
            return
        if self._is_taken_over_again:
            self._is_given_up = True
            self._journal.forget(*steps)
            self._log.warning(
                "resolv.conf was replaced again and is left alone: protected names will not work",
                event_name="dns.resolv_conf.given_up",
                path=str(self._path),
                hint=f"end what writes it, or set {_OTHER_WAY}",
            )
            return
        self._is_taken_over_again = True
        self._log.warning(
            "resolv.conf was replaced by somebody else; it is taken over once more",
            event_name="dns.resolv_conf.replaced",
            path=str(self._path),
        )
        self._take_over(current, current)

    def _original(self, current: str) -> str:
        """Return what is to come back, whoever wrote what is there."""
        steps = self._steps()
        if steps:
            original = _original(current, steps[-1])
            if original != steps[-1].before:
                self._log.info(
                    f"{self._path} was edited; the edit is kept",
                    event_name="dns.resolv_conf.edited",
                )
            return original
        if not is_ours(current) and not has_sentinel(current):
            return current
        try:
            original = _decoded(self._backup.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"{self._path} was left by a Client that crashed, and {self._backup} is not there",
                setting="dns_control",
                hint=f"write a line `nameserver ADDRESS` into {self._path}, in place of all others",
            ) from error
        self._log.warning(
            "resolv.conf was left by a Client that crashed; its backup is the original",
            event_name="dns.resolv_conf.recovered",
            backup=str(self._backup),
        )
        return original

    def _take_over(self, current: str, original: str) -> None:
        text = rewrite(original, *self._wanted, str(self._backup))
        steps = self._steps()
        if steps and current == text == steps[-1].text and original == steps[-1].before:
            return
        earlier = steps[-1].text if steps else None
        step = ResolvConfWritten(str(self._path), str(self._backup), original, text, earlier)
        self._journal.replace(steps, [step])
        _replace(self._backup, original, self._path)
        write(self._path, text)

    def _steps(self) -> list[ResolvConfWritten]:
        path = str(self._path)
        return [
            step
            for step in self._journal.steps
            if isinstance(step, ResolvConfWritten) and step.path == path
        ]


def restore(step: ResolvConfWritten, log: FilteringBoundLogger) -> None:
    """Write back what was there, with the edits of others; a file that is theirs is left."""
    path = Path(step.path)
    try:
        current = read(path)
    except ConfigError as error:
        log.warning(
            "resolv.conf is left alone", event_name="dns.resolv_conf.gone", error=str(error)
        )
        return
    original = _original(current, step)
    if not nameservers(original):
        # Better the servers of before than none; an original without any meant localhost.
        original = step.before
    if original != step.before:
        log.info(
            "resolv.conf was edited; that stays",
            event_name="dns.resolv_conf.edited",
            path=str(path),
        )
    if original != current:
        write(path, original)


def _original(current: str, step: ResolvConfWritten) -> str:
    return original_of(current, step.before, step.text, step.earlier)


def read(path: Path) -> str:
    """Return what a file holds; bytes that are no UTF-8 as lone surrogates.

    Raises:
        ConfigError: It is not there, or is no file of its own.
        NeedsPrivilege: It cannot be read.
    """
    with os.fdopen(_open(path, os.O_RDONLY), "rb") as file:
        return _decoded(file.read(_MOST_BYTES))


def write(path: Path, text: str) -> None:
    """Write a file in place, so that a reader finds the old text or the new one.

    Ends of a longer old text are overwritten by blank lines before they are cut off: whenever this
    ends, no half line is left.
    """
    data = _encoded(text)
    descriptor = _open(path, os.O_RDWR)
    try:
        rest = os.fstat(descriptor).st_size - len(data)
        padded = data + b"\n" * max(rest, 0)
        if os.pwrite(descriptor, padded, 0) != len(padded):
            raise FirezoneError(f"{path} cannot be written whole", hint="is the disk full?")
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist", setting="dns_control", hint=f"make one, or set {_OTHER_WAY}"
        ) from error
    except PermissionError as error:
        raise NeedsPrivilege(
            f"{path} cannot be written: {error.strerror}",
            hint=f"run the Client as root, or set {_OTHER_WAY}",
        ) from error
    except OSError as error:
        if path.is_symlink():
            raise ConfigError(
                f"{path} is a link to {os.readlink(path)}: another program writes it",  # noqa: PTH115
                setting="dns_control",
                hint=f"set {_OTHER_WAY}, or put a file in its place",
            ) from error
        raise FirezoneError(f"{path} cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(f"{path} is no file", setting="dns_control", hint=f"set {_OTHER_WAY}")
    return descriptor


def _replace(path: Path, text: str, like: Path) -> None:
    """Put a file in place as a whole, readable for those who may read another."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        mode = stat.S_IMODE(like.stat().st_mode)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(fresh, flags, mode), "wb") as file:
            file.write(_encoded(text))
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise NeedsPrivilege(
            f"{path} cannot be written: {error.strerror}",
            hint=f"run the Client as root, or set {_OTHER_WAY}",
        ) from error


def _decoded(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
