"""Packets that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firezone import _core

if TYPE_CHECKING:
    from firezone._core import PacketBatch

    from .counters import BufferCounters

__all__ = ["PacketBuffer"]


class PacketBuffer:
    """Packets that wait for a set-up (rules R11-R16).

    Args:
        seed: Seed of the hash that finds duplicates.
        queue_bytes: Bytes of packets in one queue.
        queue_packets: Packets in one queue.
        total_bytes: Bytes of packets in all queues.
        max_age: Seconds that a packet may wait.

    >>> from firezone.nat import PacketBatch, tcp
    >>> buffer = PacketBuffer(queue_packets=8)
    >>> queue = buffer.open(now=0.0)
    >>> packet = tcp("100.64.0.1", 5000, "100.96.0.1", 443, flags="S")
    >>> buffer.push(queue, PacketBatch([packet, packet, b"?"]), now=0.0)  # a SYN sent again (R14)
    ['stored', 'duplicate', 'malformed']
    >>> buffer.held(queue)
    {'packets': 1, 'bytes': 40, 'flows': 1, 'oldest': 0.0}
    >>> buffer.drain(queue)[0] == packet
    True
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        queue_bytes: int = 1 << 20,
        queue_packets: int = 1024,
        total_bytes: int = 64 << 20,
        max_age: float = 60.0,
    ) -> None:
        self._core = _core.PacketBuffer(
            seed=seed,
            queue_bytes=queue_bytes,
            queue_packets=queue_packets,
            total_bytes=total_bytes,
            max_age=max_age,
        )

    def open(self, *, now: float, overwrite: int | None = None) -> int:
        """Open a queue.

        Args:
            now: Monotonic seconds.
            overwrite: Makes it a ring of so many packets that forgets the oldest, as upstream once
                held packets: for comparison (R41).

        Returns:
            The handle of the queue.

        Raises:
            InvalidArgument: `now` is negative.
        """
        return self._core.open(now=now, overwrite=overwrite)

    def push(self, queue: int, batch: PacketBatch, *, now: float) -> list[str]:
        """Put packets into a queue.

        Args:
            queue: Its handle.
            batch: The packets, which are copied.
            now: Monotonic seconds.

        Returns:
            For each packet `stored`, `duplicate`, `replaced`, or why it was refused: `queue_bytes`,
            `queue_packets`, `flow_share`, `queue_share`, `total`, `malformed`.

        Raises:
            InvalidArgument: The queue is not open, or `now` is negative.
        """
        return self._core.push(queue, batch, now=now)

    def drain(self, queue: int, *, most: int | None = None) -> PacketBatch:
        """Take up to `most` packets out of a queue, oldest first.

        Raises:
            InvalidArgument: The queue is not open.
        """
        return self._core.drain(queue) if most is None else self._core.drain(queue, most=most)

    def close(self, queue: int) -> None:
        """Close a queue; what it holds is dropped and counted.

        Raises:
            InvalidArgument: The queue is not open.
        """
        self._core.close(queue)

    def held(self, queue: int) -> dict[str, float | None]:
        """Return what a queue holds: `packets`, `bytes`, `flows`, `oldest` (seconds).

        Raises:
            InvalidArgument: The queue is not open.
        """
        return dict(
            zip(("packets", "bytes", "flows", "oldest"), self._core.held(queue), strict=True)
        )

    def counters(self) -> BufferCounters:
        """Return what happened so far."""
        return self._core.counters()
