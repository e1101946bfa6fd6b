"""A PostgreSQL server of the tests, from the package that is unpacked beside the build."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["serve"]

_ROOT: Final = Path(__file__).parents[2]
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "shared_buffers": "16MB",
    "max_connections": "80",
}


def _programs() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", _ROOT / "target"))
    return target / "peers" / "usr" / "lib" / "postgresql" / "15" / "bin"


def _as_somebody() -> tuple[str, ...]:
    """Begin a command that is not root's: PostgreSQL refuses that."""
    if os.getuid() != 0:
        return ()
    # Its programs may lie below a folder that only root enters.
    reach = ("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search")
    return ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *reach, "--")


def serve(folder: Path) -> Iterator[str]:
    """Run a server with data of its own; yield the URL of its database, without a name.

    Args:
        folder: Short enough for a socket in it, and not there yet.
    """
    programs, begin = _programs(), _as_somebody()
    if not programs.exists():
        message = f"{programs} is missing: make setup"
        raise RuntimeError(message)
    folder.mkdir(mode=0o755)
    if begin:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    data = folder / "data"
    flags = ("--no-sync", "--auth=trust", "--username=portal", "--encoding=UTF8", "--locale=C")
    try:
        subprocess.run(
            [*begin, str(programs / "initdb"), "-D", str(data), *flags],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        settings = {**_SETTINGS, "unix_socket_directories": str(folder)}
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [*begin, str(programs / "postgres"), "-D", str(data), *given],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        try:
            _wait(server, folder)
            yield f"postgresql://portal@/{{}}?host={folder}"
        finally:
            server.terminate()
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(600):
        if (folder / ".s.PGSQL.5432.lock").exists() and "ready to accept" in (
            folder / "log"
        ).read_text(errors="replace"):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    message = (folder / "log").read_text(errors="replace")
    raise RuntimeError(message)
