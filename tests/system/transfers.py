"""Files through the tunnel, by curl: whole at once, or slowly while something happens."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.two_machines import TwoMachines

__all__ = ["Loading", "arriving", "fetch", "send", "sha256"]

MIB = 2**20


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arriving(machines: TwoMachines, path: Path) -> int:
    """Return the bytes of a file that have come, wherever nginx keeps those of an upload."""
    sizes = [0]
    for place in (path, *(machines.folder / "body").glob("*")):
        # It goes from there to here when all has come.
        with contextlib.suppress(FileNotFoundError):
            sizes.append(place.stat().st_size)
    return max(sizes)


def fetch(machines: TwoMachines, url: str, *options: str, patience: int = 100) -> str:
    """Load something on the Client's host and return its SHA-256."""
    loaded = machines.folder / "loaded"
    loaded.unlink(missing_ok=True)
    curl = ("curl", "-sS", "--fail", "-m", str(patience), *options, "-o", str(loaded), url)
    done = machines.inside(machines.client, *curl, patience=patience + 20)
    assert done.returncode == 0, f"{url}: {done.stderr}"
    return sha256(loaded)


def send(machines: TwoMachines, url: str, *options: str, patience: int = 100) -> str:
    """Upload the payload from the Client's host and return the SHA-256 of what arrived."""
    arrived = machines.folder / "www" / "upload" / "copy"
    arrived.unlink(missing_ok=True)
    source = str(machines.folder / "www" / "file")
    curl = ("curl", "-sS", "--fail", "-m", str(patience), *options, "-T", source)
    done = machines.inside(machines.client, *curl, f"{url}/upload/copy", patience=patience + 20)
    assert done.returncode == 0, f"{url}: {done.stderr}"
    return sha256(arrived)


class Loading:
    """A transfer that takes its time, so that something can happen meanwhile.

    Args:
        machines: Where.
        url: What is loaded.
        rate: Bytes per second, as curl writes them.
        patience: Seconds that it may take at most.
    """

    def __init__(
        self, machines: TwoMachines, url: str, *, rate: str = "4M", patience: int = 120
    ) -> None:
        self._machines = machines
        self._file = machines.folder / "slowly"
        self._file.unlink(missing_ok=True)
        self._patience = patience
        curl = ("curl", "-sS", "--fail", "-m", str(patience), "--limit-rate", rate)
        machines.start("loading", machines.client, *curl, "-o", str(self._file), url)
        self.reaches(MIB)

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self._file.stat().st_size if self._file.exists() else 0

    @property
    def is_over(self) -> bool:
        """Whether curl has ended."""
        return self._machines.running["loading"].poll() is not None

    def reaches(self, size: int) -> None:
        """Wait until as many bytes have come, while the transfer is still under way."""
        self._machines.wait(lambda: self.size >= size or self.is_over, f"{size} bytes")
        assert not self.is_over, self._machines.output("loading")

    def grows(self, by: int = MIB) -> None:
        """Wait until more has come than there is now."""
        self.reaches(self.size + by)

    def ended(self) -> str:
        """Wait for the end; return the SHA-256 of what came."""
        code = self._machines.running["loading"].wait(self._patience + 20)
        assert code == 0, self._machines.output("loading")
        return sha256(self._file)
