"""What a run needs of the Client and the Gateway under test, wherever they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UnderTest"]


class UnderTest(Protocol):
    """A Client and a Gateway, not running yet.

    Attributes:
        socket: The Gateway's control socket; None if it is where programs look for it anyway.
    """

    socket: Path | None

    async def start(self) -> str:
        """Begin, and return the address at which the Client answers DNS."""
        ...

    async def counters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return all counters of the Client and of the Gateway."""
        ...

    def link_drops(self) -> int:
        """Return how many packets the link between them lost or had no room for."""
        ...

    async def kernel_drops(self) -> tuple[int, int]:
        """Return how many packets no kernel took from them, and how many it did not keep for them.

        The former at their devices, but not in the queues of these; the latter at their sockets.
        """
        ...

    async def wire_report(self) -> tuple[int, int] | None:
        """Return how many packets crossed between them, and how many were not WireGuard's.

        None without a wire. Nothing that crosses later is seen.
        """
        ...

    async def stop(self) -> None:
        """End both; safe to call when not all of it began."""
        ...
