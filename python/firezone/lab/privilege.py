"""Getting the right to make network namespaces and TUN devices: as root, or in a user namespace."""

from __future__ import annotations

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

# Writable stand-ins for what `ip netns` writes to; they end with the mount namespace.
_MOUNTS: Final = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/etc /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
exec "$@"
"""


def acquire(argv: Sequence[str]) -> None:
    """Return if namespaces and TUN devices may be made; else start again where they may.

    Args:
        argv: The command that starts this program again, the program first.

    Raises:
        NeedsPrivilege: Neither root nor a user namespace that suffices.
    """
    if os.geteuid() == 0:
        _check_tun()
        _check_namespaces()
        return
    _check_tun()
    unshare = shutil.which("unshare")
    if unshare is None or os.environ.get(_INSIDE):
        raise NeedsPrivilege("the laboratory may not make network namespaces here", hint=_HINT)
    inside = [unshare, "--user", "--map-root-user", "--mount", "--net", "--"]
    inside += ["sh", "-c", _MOUNTS, "sh"]
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        reason = tried.stderr.strip().splitlines()[-1:] or ["it failed"]
        raise NeedsPrivilege(f"no user namespace for the laboratory: {reason[0]}", hint=_HINT)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(unshare, [*inside, *argv], {**os.environ, _INSIDE: "1"})  # noqa: S606


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
