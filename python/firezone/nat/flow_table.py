"""The Gateway's flow table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from firezone import _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

    from firezone._core import PacketBatch, Verdicts

    from ._types import Address

__all__ = ["FlowTable", "Translated"]


class Translated(NamedTuple):
    """Packets that were translated, and what became of each packet of the batch."""

    packets: PacketBatch
    """Those whose verdict is `translated`, in order."""
    verdicts: Verdicts
    """One per packet given: `translated`, `malformed`, `no_address`, `no_flow`, `expired`,
    `exhausted`, `capped` or `unsupported`. A sequence of these names; as a buffer, their codes."""


class FlowTable:
    """The flow table of a Gateway (rules R26-R35).

    Args:
        seed: Makes outside ports and the order in hash tables unpredictable, and repeatable.
        flows_per_peer: Flows that one Client may have.
    """

    def __init__(self, *, seed: int = 0, flows_per_peer: int = 65_536) -> None:
        self._core = _core.FlowTable(seed=seed, flows_per_peer=flows_per_peer)

    def translate_out(
        self,
        batch: PacketBatch,
        *,
        addresses: Mapping[Address, Address],
        now: float,
        peer: int = 0,
        into: Buffer | None = None,
    ) -> Translated:
        """Translate packets of a Client towards real addresses (R26-R29).

        A batch of more than 128 packets, about 20 µs of work, lets other threads of Python run
        meanwhile.

        Args:
            batch: The packets; their destinations are proxy addresses.
            addresses: Proxy to real address, for new flows. A live flow keeps its own (R26).
            now: Monotonic seconds.
            peer: Number of the Client, below 2^24. Count from 0: the table grows with it.
            into: Memory of yours for the translated packets (bytearray, array of bytes), with room
                for all of the batch. The batch returned lies in it: writing to it changes that.

        Returns:
            The translated packets and a verdict for each packet given.

        Raises:
            InvalidArgument: `now` is negative, `peer` too high, an address is none, or `into` is
                read-only or too small; nothing was translated then. The text says what is needed.

        >>> from firezone.nat import FlowTable, PacketBatch, udp
        >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
        >>> memory = bytearray(batch.nbytes)
        >>> sent = FlowTable().translate_out(
        ...     batch, addresses={"100.96.0.1": "10.0.0.7"}, now=0.0, into=memory
        ... )
        >>> sent.verdicts, memory[16:20].hex(), sent.packets[0] == memory
        (['translated'], '0a000007', True)
        """
        return Translated(
            *self._core.translate_out(batch, peer=peer, addresses=addresses, now=now, into=into)
        )

    def translate_in(
        self, batch: PacketBatch, *, now: float, peer: int = 0, into: Buffer | None = None
    ) -> Translated:
        """Translate packets of real hosts back to proxy addresses (R26, R34).

        Args:
            batch: The packets; their destination is the Client's tunnel address.
            now: Monotonic seconds.
            peer: Number of the Client.
            into: As for `translate_out`.

        Returns:
            The translated packets and a verdict for each packet given.

        Raises:
            InvalidArgument: As for `translate_out`.
        """
        return Translated(*self._core.translate_in(batch, peer=peer, now=now, into=into))

    def advance(self, now: float) -> None:
        """End the flows that are due by `now` (R30, R31)."""
        self._core.advance(now)

    def end_proxy(self, proxy: Address, *, now: float, peer: int = 0) -> int:
        """End exactly the flows of a Client to a proxy address (R23); return how many."""
        return self._core.end_proxy(proxy, peer=peer, now=now)

    def flows(self) -> list[dict[str, Any]]:
        """Return a row per flow: tuples, bytes and packets both ways, times in seconds."""
        rows: list[dict[str, Any]] = json.loads(self._core.flows())
        return rows

    def events(self) -> list[dict[str, Any]]:
        """Take what was opened and closed since the last call (R39)."""
        rows: list[dict[str, Any]] = json.loads(self._core.events())
        return rows

    def counters(self) -> dict[str, int]:
        """Return the counters by name."""
        counters: dict[str, int] = json.loads(self._core.counters())
        return counters
