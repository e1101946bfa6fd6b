"""A systemd of our own: its user instance, in a mount namespace in which it is at home."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, Self

__all__ = ["PROGRAM", "Systemd"]

PROGRAM: Final = Path("/usr/lib/systemd/systemd")
PATIENCE: Final = 60.0
# What is mounted on /run is only seen there; namespaces of the network are where they were.
_START: Final = """
mkdir -p {folder}/netns {home}/.config/systemd/user
mount --rbind /run/netns {folder}/netns
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/systemd/system /run/user/0
mount --rbind {folder}/netns /run/netns
export HOME={home} XDG_RUNTIME_DIR=/run/user/0
exec {program} --user --log-target=console
"""
_SYSTEMCTL: Final = """#!/bin/sh
exec /usr/bin/systemctl --user "$@"
"""


def scopes() -> set[Path]:
    """Return the control groups into which a systemd moves what it finds in the root of each."""
    root = Path("/sys/fs/cgroup")
    return {*root.glob("init.scope"), *root.glob("*/init.scope")}


def _leave(scope: Path) -> None:
    """Bring all processes back to where they were: the tests' own are among them."""
    for pid in (scope / "cgroup.procs").read_text().split():
        # It may have ended by now.
        with contextlib.suppress(OSError):
            (scope.parent / "cgroup.procs").write_text(pid)
    with contextlib.suppress(OSError):
        scope.rmdir()


class Systemd:
    """Runs units; a context. What it starts ends with it.

    Args:
        folder: For its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "home"
        self._process: subprocess.Popen[bytes] | None = None
        self._scopes = scopes()
        self.programs = folder / "programs"
        """Where units find a `systemctl` that talks to this one."""

    def __enter__(self) -> Self:
        self.programs.mkdir(parents=True)
        (self.programs / "systemctl").write_text(_SYSTEMCTL)
        (self.programs / "systemctl").chmod(0o755)
        script = _START.format(folder=self._folder, home=self._home, program=PROGRAM)
        # At SIGTERM it ends its units first.
        ends = ("setpriv", "--pdeathsig", "TERM", "--")
        command = [*ends, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
        with (self._folder / "systemd.out").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        give_up = time.monotonic() + PATIENCE
        while self.control("is-system-running").stdout.strip() not in ("running", "degraded"):
            if self._process.poll() is not None or time.monotonic() > give_up:
                message = (self._folder / "systemd.out").read_text()[-2000:]
                raise AssertionError(message)
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for scope in scopes() - self._scopes:
            _leave(scope)

    @staticmethod
    def is_here() -> bool:
        """Whether it can run on this machine."""
        tools = ("systemctl", "unshare", "nsenter")
        return os.geteuid() == 0 and PROGRAM.exists() and all(map(shutil.which, tools))

    def add(self, name: str, text: str) -> None:
        """Put a unit in place."""
        path = self._home / ".config" / "systemd" / "user" / name
        path.write_text(text)
        assert self.control("daemon-reload").returncode == 0

    def control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run systemctl to its end."""
        assert self._process is not None
        into = ("nsenter", "--mount", f"--target={self._process.pid}", "--")
        environment = {**os.environ, "XDG_RUNTIME_DIR": "/run/user/0"}
        return subprocess.run(
            [*into, "systemctl", "--user", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=PATIENCE,
        )
