"""What was changed on the host, written down before it is changed.

A file per role under /run/firezone holds the steps; whoever starts next, or
`firezone host cleanup`, undoes exactly those. A step that was written but never carried out finds
nothing to undo. The file is replaced as a whole, so it is never half written; a lock, which the
kernel frees however its holder ends, keeps two processes of one role apart.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from firezone.errors import FirezoneError, NeedsPrivilege

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FOLDER",
    "AddressAdded",
    "AddressRemoved",
    "Journal",
    "LinkChanged",
    "ResolvConfWritten",
    "ResolvedSet",
    "Role",
    "RouteAdded",
    "RuleAdded",
    "Step",
    "SysctlChanged",
    "TableMade",
]

Role: TypeAlias = Literal["client", "gateway"]
FOLDER: Final = Path("/run/firezone")
_VERSION: Final = 1


@dataclass(frozen=True)
class AddressAdded:
    """An address with its prefix was given to a device."""

    device: str
    address: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"address {self.address} of {self.device}"


@dataclass(frozen=True)
class AddressRemoved:
    """An address that somebody else had given to our device was taken from it."""

    device: str
    address: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"address {self.address}, taken from {self.device}"


@dataclass(frozen=True)
class LinkChanged:
    """A device got our MTU and was set up."""

    device: str
    mtu_before: int
    mtu: int
    was_up: bool

    def __str__(self) -> str:
        """Return it in words."""
        return f"MTU {self.mtu} of {self.device}, which had {self.mtu_before}"


@dataclass(frozen=True)
class RouteAdded:
    """A route was added; the fields are those of `plan.Route`."""

    table: int
    destination: str
    device: str
    scope: int
    source: str | None
    metric: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"route {self.destination} dev {self.device} table {self.table:#x}"


@dataclass(frozen=True)
class RuleAdded:
    """A rule was added; the fields are those of `plan.Rule`."""

    family: int
    priority: int
    table: int
    fwmark: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"rule {self.priority} (IPv{self.family}) to table {self.table:#x}"


@dataclass(frozen=True)
class SysctlChanged:
    """A value below /proc/sys was changed.

    Args:
        key: With slashes.
        before: What it was.
        value: What we made of it.
        also: Values that the kernel changes with it: key to what it was and what it becomes.
    """

    key: str
    before: str
    value: str
    also: dict[str, list[str]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.key.replace('/', '.')} = {self.value}, which was {self.before}"


@dataclass(frozen=True)
class TableMade:
    """A table of nftables, of the family `inet`, was made."""

    name: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"nftables table inet {self.name}"


@dataclass(frozen=True)
class ResolvConfWritten:
    """A resolv.conf was written in place.

    Args:
        path: The file.
        backup: Where a copy of what was there is.
        before: What was there; bytes that are no UTF-8 as lone surrogates.
        text: What we wrote.
        earlier: What we had written before that: it is there until `text` is.
    """

    path: str
    backup: str
    before: str
    text: str
    earlier: str | None = None

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.path}, of which {self.backup} is the original"


@dataclass(frozen=True)
class ResolvedSet:
    """systemd-resolved was told of servers behind a device."""

    device: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"systemd-resolved's servers of {self.device}"


Step: TypeAlias = (
    AddressAdded
    | AddressRemoved
    | LinkChanged
    | RouteAdded
    | RuleAdded
    | SysctlChanged
    | TableMade
    | ResolvConfWritten
    | ResolvedSet
)
_KINDS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in Step.__args__}


class Journal:
    """The steps of one role, held by one process at a time. Made by `open`.

    Args:
        path: The file.
        lock: The descriptor that holds the lock; None only reads.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock
        self._here = _world()
        world, steps = _read(path)
        self._world = world if steps else self._here
        """Of the steps; those of another one are undone, as far as they can be, before new ones."""
        self._steps = dict.fromkeys(steps)

    @classmethod
    def open(cls, role: Role, *, folder: Path = FOLDER) -> Journal:
        """Take the journal of a role, with the steps that a predecessor left in it.

        Raises:
            FirezoneError: Another process holds it, or it cannot be read.
            NeedsPrivilege: The folder is not ours to write to.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            path = folder / f"{role}.host.json"
            lock = os.open(_lock_of(path), flags, 0o600)
        except PermissionError as error:
            raise NeedsPrivilege(
                f"{folder} cannot be written to: {error.strerror}",
                hint="run it as root, or as the user that the service runs as",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, lock)
        except BlockingIOError as error:
            os.close(lock)
            raise FirezoneError(
                f"a {role} is running on this host already",
                hint=f"end it first; `firezone {role} status` tells of it",
            ) from error
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def adopt(cls, role: Role, lock: int, *, folder: Path = FOLDER) -> Journal:
        """Take the journal of a role together with its lock, which another process passed on.

        Raises:
            FirezoneError: The descriptor is another file's, or the journal cannot be read.
        """
        path = folder / f"{role}.host.json"
        try:
            is_ours = os.path.samestat(os.fstat(lock), _lock_of(path).stat())
            # The same lock a second time: whoever else has the descriptor may close it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            is_ours = False
        if not is_ours:
            os.close(lock)
            raise FirezoneError(
                f"what the former {role} passed on is not the lock of {path}",
                hint="give both the same run_dir, or end the former one first",
            )
        return cls(path, lock)

    @classmethod
    def peek(cls, role: Role, *, folder: Path = FOLDER) -> Journal:
        """Read the journal of a role, whoever holds it."""
        return cls(folder / f"{role}.host.json", None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is to be undone, oldest first."""
        return tuple(self._steps)

    @property
    def is_held(self) -> bool:
        """Whether a process, this one or another, holds the journal."""
        if self._lock is not None:
            return True
        try:
            lock = os.open(_lock_of(self.path), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the steps found were made since the machine started."""
        return bool(self._world["boot"] == self._here["boot"])

    @property
    def is_of_this_network(self) -> bool:
        """Whether the steps found were made in this boot and network namespace."""
        return self._world == self._here

    def record(self, *steps: Step) -> None:
        """Write down steps that are about to be carried out."""
        self.replace((), steps)

    def forget(self, *steps: Step) -> None:
        """Strike steps that are undone."""
        self.replace(steps, ())

    def replace(self, old: Iterable[Step], new: Iterable[Step]) -> None:
        """Strike steps and write down others, at once."""
        changed = dict(self._steps)
        for step in old:
            changed.pop(step, None)
        changed.update(dict.fromkeys(new))
        if list(changed) != list(self._steps):
            if not self._steps:
                self._world = self._here
            self._write(tuple(changed))
            self._steps = changed

    @property
    def lock(self) -> int | None:
        """The descriptor that holds the lock; who has it, too, holds the journal."""
        return self._lock

    def leave(self) -> None:
        """Close it as it is: a successor goes on with it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def release(self) -> None:
        """Let go of the journal; what it tells is left for a successor, an empty one is removed."""
        if self._lock is None:
            return
        if not self._steps:
            self.path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _write(self, steps: tuple[Step, ...]) -> None:
        if self._lock is None:
            raise FirezoneError(f"{self.path} was opened to be read")
        rows = [{"step": type(step).__name__, **asdict(step)} for step in steps]
        document = {"version": _VERSION, **self._world, "steps": rows}
        fresh = self.path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with open(os.open(fresh, flags, 0o600), "w") as file:  # noqa: PTH123 - a descriptor
            json.dump(document, file)
        fresh.replace(self.path)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _read(path: Path) -> tuple[dict[str, Any], list[Step]]:
    """Return which world the steps are of, and the steps."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    except PermissionError as error:
        raise NeedsPrivilege(
            f"{path} cannot be read: {error.strerror}", hint="run it as root"
        ) from error
    try:
        document = json.loads(data)
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']!r}")  # noqa: TRY301
        world = {"boot": document["boot"], "network": document["network"]}
        return world, [_step(row) for row in document["steps"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FirezoneError(
            f"{path}, which tells what is to be undone on this host, cannot be read: {error}",
            hint=f"look at `ip rule` and `nft list ruleset`, then remove it: rm {path}",
        ) from error


def _step(row: dict[str, Any]) -> Step:
    fields = dict(row)
    kind = _KINDS[fields.pop("step")]
    step: Step = kind(**fields)
    return step


def _world() -> dict[str, Any]:
    """Return what tells this boot and network namespace from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "unknown"
    try:
        # Of this thread: a thread may have entered a namespace of its own.
        network = Path("/proc/thread-self/ns/net").stat().st_ino
    except OSError:
        network = 0
    return {"boot": boot, "network": network}
