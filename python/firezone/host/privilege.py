"""The rights that setting up a host takes, and giving up all others.

`python-prctl`, which would do this, is no longer kept; two calls of the C library do it here.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
from pathlib import Path
from typing import Final

from firezone.errors import ConfigError, FirezoneError, NeedsPrivilege

__all__ = [
    "CAP_NET_ADMIN", "allow_real_time", "effective_capabilities", "keep_only", "require_net_admin",
]  # fmt: skip

CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_SETPCAP: Final = 8
CAP_NET_ADMIN: Final = 12
CAP_SYS_NICE: Final = 23

_KEEPCAPS: Final = 8
_BOUNDING_READ: Final = 23
_BOUNDING_DROP: Final = 24
_NO_NEW_PRIVS: Final = 38
_AMBIENT: Final = 47
_AMBIENT_RAISE: Final = 2
_AMBIENT_CLEAR: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522
_LAST_CAPABILITY: Final = 63


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def effective_capabilities() -> frozenset[int]:
    """Return the numbers of the calling thread's effective capabilities (capabilities(7))."""
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            bits = int(line.split()[1], 16)
            return frozenset(n for n in range(_LAST_CAPABILITY + 1) if bits >> n & 1)
    return frozenset()


def require_net_admin(what: str) -> None:
    """Check that the network may be changed.

    Args:
        what: What for, in a few words.

    Raises:
        NeedsPrivilege: CAP_NET_ADMIN is missing.
    """
    if CAP_NET_ADMIN not in effective_capabilities():
        raise NeedsPrivilege(
            f"{what} needs CAP_NET_ADMIN, which this process has not",
            hint="run it with sudo, or as a service: firezone client|gateway enable-service",
        )


def allow_real_time(*, wanted: bool = True) -> frozenset[int]:
    """Let threads of this process have the least real-time priority (sched(7)), or none.

    Args:
        wanted: Whether they may; else a limit that somebody raised is given back.

    Returns:
        The capability that it takes to have it; none where a limit of the process is enough.
    """
    if not wanted:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
        return frozenset()
    _, most = resource.getrlimit(resource.RLIMIT_RTPRIO)
    try:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (1, most or 1))
    except (OSError, ValueError):
        return frozenset({CAP_SYS_NICE})
    return frozenset()


def keep_only(user: str | None, capabilities: frozenset[int] = frozenset({CAP_NET_ADMIN})) -> None:
    """Give up everything but some capabilities, for good; programs started keep those as well.

    Capabilities are a thread's, so this must come before any other thread is started.

    Args:
        user: Who to become; None stays who it is. Without the right to become somebody, it stays.
        capabilities: Numbers of those that are kept, as far as they are there.

    Raises:
        ConfigError: There is no such user.
        NeedsPrivilege: The kernel does not allow it.
        FirezoneError: There are other threads.
    """
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise FirezoneError(
            "rights cannot be given up while other threads run",
            hint="this is a fault in firezone: it must happen before logs are opened",
        )
    held = effective_capabilities()
    kept = capabilities & held
    # Without it a process has next to nothing that it could drop.
    if CAP_SETPCAP in held:
        for number in range(_LAST_CAPABILITY + 1):
            if number not in kept and _is_in_bounding_set(number):
                _prctl(_BOUNDING_DROP, number)
    if user is not None and {CAP_SETUID, CAP_SETGID} <= held:
        _become(user)
    _set_capabilities(kept)
    _prctl(_AMBIENT, _AMBIENT_CLEAR)
    for number in sorted(kept):
        _prctl(_AMBIENT, _AMBIENT_RAISE, number)
    _prctl(_NO_NEW_PRIVS, 1)


def _become(user: str) -> None:
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise ConfigError(
            f"there is no user {user}",
            hint=f"make it: useradd --system --shell /usr/sbin/nologin {user}",
        ) from error
    if entry.pw_uid == os.getuid():
        return
    _prctl(_KEEPCAPS, 1)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _set_capabilities(kept: frozenset[int]) -> None:
    words = [sum(1 << n % 32 for n in kept if n // 32 == word) for word in (0, 1)]
    sets = (_Sets * 2)(*(_Sets(word, word, word) for word in words))
    header = _Header(_CAPABILITY_VERSION, 0)
    if _libc().capset(ctypes.byref(header), sets) != 0:
        raise _refused("giving up capabilities")


def _is_in_bounding_set(number: int) -> bool:
    return bool(_libc().prctl(_BOUNDING_READ, number, 0, 0, 0) == 1)


def _prctl(option: int, *arguments: int) -> None:
    numbers = [*arguments, 0, 0, 0, 0][:4]
    if _libc().prctl(option, *(ctypes.c_ulong(number) for number in numbers)) != 0:
        raise _refused("giving up rights")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _refused(what: str) -> NeedsPrivilege:
    reason = os.strerror(ctypes.get_errno())
    return NeedsPrivilege(f"{what} failed: {reason}", hint="start it as root")
