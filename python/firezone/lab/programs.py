"""The programs that the laboratory starts, and what to install where one is missing."""

from __future__ import annotations

import functools
import os
import shutil
from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PACKAGES", "find", "require"]

PACKAGES: Final = {
    "nginx": "nginx-light",
    "curl": "curl",
    "tcpdump": "tcpdump",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "nft": "nftables",
    "setpriv": "util-linux",
    "sha256sum": "coreutils",
}
"""Program to the Debian package that brings it."""

# Where administration programs live, which the PATH of a plain user often leaves out.
_EXTRA_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@functools.cache
def find(program: str) -> str:
    """Return the path of a program.

    Raises:
        ConfigError: It is not installed; the hint names the Debian package.
    """
    require([program])
    return _look_for(program) or program


def require(programs: Iterable[str] = tuple(PACKAGES)) -> None:
    """Check that programs are there, all at once, before anything is started.

    Raises:
        ConfigError: Some are missing; the hint names their Debian packages.
    """
    missing = [program for program in programs if _look_for(program) is None]
    if missing:
        packages = sorted({PACKAGES[program] for program in missing})
        raise ConfigError(
            f"the laboratory needs {', '.join(missing)}, which is not installed",
            hint=f"install it: apt-get install {' '.join(packages)}",
        )


def _look_for(program: str) -> str | None:
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *_EXTRA_FOLDERS))
    return shutil.which(program, path=folders)
