"""Running the system's programs: found where administrators' programs are, with a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError, FirezoneError, NeedsPrivilege

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PACKAGES", "find", "run"]

PACKAGES: Final = {
    "nft": "nftables",
    "resolvectl": "systemd-resolved",
    "systemctl": "systemd",
    "systemd-sysusers": "systemd",
}
"""Program to the Debian package that brings it."""
PATIENCE: Final = 30.0
"""Seconds that a program may take."""
_EXTRA_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(program: str, *, hint: str | None = None) -> str:
    """Return the path of a program.

    Raises:
        ConfigError: It is not installed.
    """
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *_EXTRA_FOLDERS))
    path = shutil.which(program, path=folders)
    if path is None:
        install = f"install it: apt-get install {PACKAGES.get(program, program)}"
        raise ConfigError(f"{program} is not installed", hint=hint or install)
    return path


def run(
    argv: Sequence[str],
    *,
    text: str | None = None,
    hint: str | None = None,
    patience: float = PATIENCE,
) -> str:
    """Run a program to its end and return what it wrote.

    Args:
        argv: The program's name and its arguments.
        text: What it reads.
        hint: What to do if it fails.
        patience: Seconds that it may take.

    Raises:
        ConfigError: It is not installed.
        NeedsPrivilege: It may not do that.
        FirezoneError: It failed; the message is what it said.
    """
    command = [find(argv[0], hint=hint), *argv[1:]]
    # The messages of programs are compared with what is known of them.
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            env=environment,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FirezoneError(f"{argv[0]} did not end within {patience:.0f} s", hint=hint) from error
    if done.returncode == 0:
        return done.stdout
    said = " ".join((done.stderr or done.stdout).split())
    message = f"{' '.join(argv)} failed: {said or f'exit code {done.returncode}'}"
    if any(word in said for word in ("Operation not permitted", "Access denied", "not permitted")):
        raise NeedsPrivilege(message, hint="run it as root, or with CAP_NET_ADMIN")
    raise FirezoneError(message, hint=hint)
