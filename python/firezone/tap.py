"""Packets of a network interface into a pcapng file, with the names of addresses."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Self

from firezone import _core

from .errors import FirezoneError, NeedsPrivilege

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["Tap"]

_GONE: Final = (errno.ENETDOWN, errno.ENODEV)


class Tap:
    """A look at one interface: what passes is written down until it is closed.

    Packets begin with their IP header; times are the kernel's, in nanoseconds. Whoever writes more
    slowly than packets come misses some, and never holds one up.

    Args:
        device: The interface, in this network namespace.
        path: The file, overwritten. `/dev/stdout` gives it to another program.
        snap_len: Bytes of a packet that are kept at most.

    Raises:
        NeedsPrivilege: Without CAP_NET_RAW.
        FirezoneError: There is no such interface.
        OSError: The file cannot be written.
    """

    def __init__(self, device: str, path: str, *, snap_len: int = 65_535) -> None:
        try:
            self._core = _core.Tap(device, path, snap_len)
        except NeedsPrivilege as error:
            raise NeedsPrivilege(str(error), hint="run it as root") from error
        self._device = device
        self._named: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Return this object; leaving its block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Write the statistics and close the file; closing again does nothing."""
        self._core.close()

    @property
    def missed(self) -> int:
        """Packets that passed unseen."""
        return self._core.missed()

    def name(self, names: Iterable[tuple[str, str]]) -> None:
        """Write names of addresses down; what stands there already is passed over.

        Args:
            names: Pairs of address and name.
        """
        fresh = {at: name for at, name in names if self._named.get(at) != name}
        if fresh:
            self._core.name(list(fresh.items()))
            self._named.update(fresh)

    def write(self, *, patience: float, most: int | None = None) -> int:
        """Write the packets that are there, and return how many they were.

        Args:
            patience: Seconds to wait for the first one.
            most: Not more than these.

        Raises:
            FirezoneError: The interface is gone.
            OSError: The file cannot be written.
        """
        try:
            return self._core.write(patience, most)
        except OSError as error:
            if error.errno in _GONE:
                message = f"the network interface {self._device} is gone or down"
                raise FirezoneError(message, hint="what came before is in the file") from error
            raise
