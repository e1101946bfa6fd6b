"""What a process leaves to the one that takes its place (R38): descriptors, and what it remembers.

Descriptors have names: `tun`, `udp` (one or two), `sessions` (a socket from which the core reads
keys, once), `memory` (facts and NAT state, no keys) and `lock` (of the journal, where it can be
passed on). They cross over a socket (`handover`) or by way of a service manager
(`descriptor_store`).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import __version__
from .errors import FirezoneError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Descriptor", "Legacy", "Memory", "boot"]

MEMORY: Final = "memory"
LOCK: Final = "lock"
_VERSION: Final = 1
_MOST_BYTES: Final = 2**30


class Descriptor(NamedTuple):
    """A descriptor that is open in this process, and what it is."""

    name: str
    number: int


@dataclass(frozen=True)
class Memory:
    """What a process knew that its successor cannot learn elsewhere, as bytes: no keys.

    Args:
        role: Whose it is.
        exported: When, in nanoseconds of CLOCK_BOOTTIME.
        state: NAT state of a Gateway, as the core told it.
        facts: Of the role, in JSON's types.
    """

    role: str
    exported: int
    state: bytes | None = field(default=None, repr=False)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def age(self) -> float:
        """Seconds since it was exported."""
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self.exported) / 1e9

    def to_bytes(self) -> bytes:
        """Return a line of JSON, and the state behind it."""
        head = {
            "version": _VERSION,
            "firezone": __version__,
            "role": self.role,
            "boot": boot(),
            "exported": self.exported,
            "has_state": self.state is not None,
            "facts": self.facts,
        }
        return json.dumps(head).encode() + b"\n" + (self.state or b"")

    @classmethod
    def from_bytes(cls, content: bytes, role: str) -> Memory:
        """Read what `to_bytes` wrote in another process of the role, since the machine started.

        Raises:
            FirezoneError: It is something else.
        """
        line, _, state = content.partition(b"\n")
        try:
            head = json.loads(line)
            version, of, since = head["version"], head["role"], head["boot"]
            exported, facts = int(head["exported"]), dict(head["facts"])
            has_state = bool(head["has_state"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            message = "what the former process knew cannot be read"
            raise FirezoneError(message) from error
        if version != _VERSION:
            message = f"what the former process knew is of version {version!r}, not {_VERSION}"
            raise FirezoneError(message)
        if of != role or since != boot():
            message = "what a former process knew is of another role, or of an earlier boot"
            raise FirezoneError(message)
        return cls(role, exported, state if has_state else None, facts)


@dataclass
class Legacy:
    """Descriptors that belong to this process by now, and what their former owner knew.

    Args:
        descriptors: Of the core: `tun`, `udp`, `sessions`.
        memory: None if it could not be read.
        lock: Of the journal.
    """

    descriptors: list[Descriptor] = field(default_factory=list)
    memory: Memory | None = None
    lock: int | None = None
    _made: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, descriptors: Iterable[Descriptor], role: str) -> tuple[Legacy, str | None]:
        """Sort descriptors; return why there is no memory, if so."""
        legacy = cls()
        reason: str | None = "the former process left no word"
        for descriptor in descriptors:
            os.set_inheritable(descriptor.number, False)
            if descriptor.name == MEMORY:
                legacy.memory, reason = _read(descriptor.number, role)
                os.close(descriptor.number)
            elif descriptor.name == LOCK:
                legacy.lock = descriptor.number
            elif descriptor.name in ("tun", "udp", "sessions"):
                legacy.descriptors.append(descriptor)
            else:
                os.close(descriptor.number)
        return legacy, reason

    def packed(self) -> list[Descriptor]:
        """Return all of it as descriptors; the one of the memory is made anew."""
        packed = list(self.descriptors)
        if self.memory is not None:
            number = os.memfd_create("firezone-memory", os.MFD_CLOEXEC)
            with open(number, "wb", closefd=False) as file:
                file.write(self.memory.to_bytes())
            self._made.append(number)
            packed.append(Descriptor(MEMORY, number))
        if self.lock is not None:
            packed.append(Descriptor(LOCK, self.lock))
        return packed

    def close(self) -> None:
        """Close what is left; a device that nobody else holds goes with it."""
        for number in (*(descriptor.number for descriptor in self.descriptors), *self._made):
            with contextlib.suppress(OSError):
                os.close(number)
        self.descriptors.clear()
        self._made.clear()


def boot() -> str:
    """Return what tells this start of the machine from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _read(number: int, role: str) -> tuple[Memory | None, str | None]:
    try:
        size = os.fstat(number).st_size
        content = os.pread(number, min(size, _MOST_BYTES), 0)
        return Memory.from_bytes(content, role), None
    except (OSError, FirezoneError) as error:
        return None, str(error)
