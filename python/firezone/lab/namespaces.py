"""Network namespaces with the process id in their names, and their end, whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from firezone.errors import FirezoneError

from . import programs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Namespace", "enter", "remove_stale", "run"]

_NAME: Final = re.compile(r"fz-[a-z]+-(\d+)")
_FOLDER: Final = re.compile(r"firezone-lab-(\d+)-.*")
_RUN_FOLDER: Final = Path("/var/run/netns")
_ETC_FOLDER: Final = Path("/etc/netns")
_CLONE_NEWNET: Final = 0x40000000


def run(argv: Iterable[str], *, text: str | None = None) -> str:
    """Run a program to its end and return what it wrote.

    Raises:
        FirezoneError: It failed; the message is what it said.
    """
    command = list(argv)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise FirezoneError(f"{' '.join(command)} failed: {said}")
    return done.stdout


class Namespace:
    """A network namespace of this process.

    Args:
        role: A word for it; the name is `fz-ROLE-PID`.
    """

    def __init__(self, role: str) -> None:
        self.name = f"fz-{role}-{os.getpid()}"

    @property
    def path(self) -> Path:
        """Where the kernel's handle of it is."""
        return _RUN_FOLDER / self.name

    def create(self) -> None:
        """Make it, with its loopback up."""
        run([programs.find("ip"), "netns", "add", self.name])
        self.ip("link set lo up")

    def remove(self) -> None:
        """Take it away; nothing happens if it is not there."""
        _remove(self.name)

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs `argv` inside."""
        return [programs.find("ip"), "netns", "exec", self.name, *argv]

    def ip(self, *commands: str) -> None:
        """Carry out commands of `ip`, each without the leading `ip`."""
        argv = [programs.find("ip"), "-n", self.name, "-batch", "-"]
        run(argv, text="".join(f"{command}\n" for command in commands))

    def link(self, device: str) -> dict[str, Any]:
        """Return what `ip` knows of a device, its statistics included."""
        shown = run([programs.find("ip"), "-n", self.name, "-s", "-j", "link", "show", device])
        rows: list[dict[str, Any]] = json.loads(shown)
        return rows[0]

    def sysctl(self, values: Mapping[str, str]) -> None:
        """Set values below /proc/sys/net, keys with slashes."""
        script = "".join(f"echo '{value}' > /proc/sys/net/{key}\n" for key, value in values.items())
        run(self.command("sh", "-e", "-c", script))

    def use_nameserver(self, address: str) -> None:
        """Give programs that `command` starts a resolv.conf of their own."""
        folder = _ETC_FOLDER / self.name
        folder.mkdir(parents=True, exist_ok=True)
        text = f"nameserver {address}\noptions attempts:5 timeout:2\n"
        (folder / "resolv.conf").write_text(text)


def enter(path: Path) -> None:
    """Move the calling thread, for good, into the network namespace at `path`."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open() as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))


def remove_stale() -> list[str]:
    """Remove what laboratories of dead processes left behind: namespaces, their processes, files.

    Returns:
        What was removed.
    """
    removed = []
    for folder in (_RUN_FOLDER, _ETC_FOLDER):
        for entry in sorted(folder.glob("fz-*")):
            match = _NAME.fullmatch(entry.name)
            if match and not _is_alive(int(match[1])):
                _end_processes(entry.name)
                _remove(entry.name)
                removed.append(entry.name)
    for entry in Path(tempfile.gettempdir()).glob("firezone-lab-*"):
        match = _FOLDER.fullmatch(entry.name)
        if match and not _is_alive(int(match[1])):
            shutil.rmtree(entry, ignore_errors=True)
            removed.append(str(entry))
    return removed


def _remove(name: str) -> None:
    if (_RUN_FOLDER / name).exists():
        with contextlib.suppress(FirezoneError):
            run([programs.find("ip"), "netns", "delete", name])
    if _ETC_FOLDER.exists():
        shutil.rmtree(_ETC_FOLDER / name, ignore_errors=True)
        # Only if it is empty: others may have namespaces of their own.
        with contextlib.suppress(OSError):
            _ETC_FOLDER.rmdir()


def _end_processes(name: str) -> None:
    """End what still runs in a namespace whose name says that a dead laboratory made it."""
    if not (_RUN_FOLDER / name).exists():
        return
    with contextlib.suppress(FirezoneError):
        for pid in run([programs.find("ip"), "netns", "pids", name]).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
