"""Getting the right to make network namespaces and TUN devices: as root, or in a user namespace."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firezone.errors import NeedsPrivilege

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["acquire"]

_INSIDE: Final = "FIREZONE_LAB_USER_NAMESPACE"
_TUN: Final = "/dev/net/tun"
_HINT: Final = "run it as root: sudo firezone demo"


def acquire(argv: Sequence[str]) -> None:
    """Return if namespaces and TUN devices may be made; else start again where they may.

    Args:
        argv: The command that starts this program again, the program first.

    Raises:
        NeedsPrivilege: Neither root nor a user namespace that suffices.
    """
    _check_tun()
    if os.environ.get(_INSIDE):
        _mount_stand_ins()
    elif os.geteuid() == 0:
        _check_namespaces()
    else:
        _start_again(argv)


def _start_again(argv: Sequence[str]) -> None:
    """Replace this process by the same in a user namespace, where it has all capabilities.

    It keeps its user there: programs that find themselves root would give that up, and cannot.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NeedsPrivilege("the laboratory may not make network namespaces here", hint=_HINT)
    inside = [unshare, "--user", "--map-current-user", "--keep-caps", "--mount", "--net", "--"]
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        reason = tried.stderr.strip().splitlines()[-1:] or ["it failed"]
        raise NeedsPrivilege(f"no user namespace for the laboratory: {reason[0]}", hint=_HINT)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(unshare, [*inside, *argv], {**os.environ, _INSIDE: "1"})  # noqa: S606


def _mount_stand_ins() -> None:
    """Make what `ip netns` writes to writable; it ends with the mount namespace."""
    _mount("tmpfs", "/run", "tmpfs")
    for folder in ("/run/netns", "/run/etc", "/run/work"):
        Path(folder).mkdir()
    _mount("overlay", "/etc", "overlay", "lowerdir=/etc,upperdir=/run/etc,workdir=/run/work")
    if Path("/etc/netns").exists():
        # It belongs to somebody who does not exist here.
        _mount("tmpfs", "/etc/netns", "tmpfs")


def _mount(source: str, target: str, kind: str, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (source.encode(), target.encode(), kind.encode(), 0, options.encode())
    if libc.mount(*arguments) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NeedsPrivilege(f"{kind} cannot be mounted on {target}: {reason}", hint=_HINT)


def _check_tun() -> None:
    if not Path(_TUN).exists():
        raise NeedsPrivilege(
            f"{_TUN} does not exist: the kernel has no TUN driver or the container hides it",
            hint="modprobe tun; in a container: --device /dev/net/tun --cap-add NET_ADMIN",
        )
    try:
        os.close(os.open(_TUN, os.O_RDWR))
    except OSError as error:
        raise NeedsPrivilege(f"{_TUN} cannot be opened: {error.strerror}", hint=_HINT) from error


def _check_namespaces() -> None:
    unshare = shutil.which("unshare") or "unshare"
    tried = subprocess.run(
        [unshare, "--net", "--mount", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        raise NeedsPrivilege(
            "the kernel refuses network namespaces, although this is root",
            hint="in a container: --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun",
        )
