"""The Gateway's flow table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from firezone import _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firezone._core import PacketBatch

    from ._types import Address

__all__ = ["FlowTable", "Translated"]


class Translated(NamedTuple):
    """Packets that were translated, and what became of each packet of the batch."""

    packets: PacketBatch
    """Those whose verdict is `translated`, in order."""
    verdicts: list[str]
    """One per packet given: `translated`, `malformed`, `no_address`, `no_flow`, `expired`,
    `exhausted`, `capped` or `unsupported`."""


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
    ) -> Translated:
        """Translate packets of a Client towards real addresses.

        Args:
            batch: The packets; their destinations are proxy addresses.
            addresses: Proxy to real address, for new flows. A live flow keeps its own (R26).
            now: Monotonic seconds.
            peer: Number of the Client.

        Returns:
            The translated packets and a verdict for each packet given.
        """
        return Translated(*self._core.translate_out(batch, peer=peer, addresses=addresses, now=now))

    def translate_in(self, batch: PacketBatch, *, now: float, peer: int = 0) -> Translated:
        """Translate packets of real hosts back to proxy addresses.

        Args:
            batch: The packets; their destination is the Client's tunnel address.
            now: Monotonic seconds.
            peer: Number of the Client.

        Returns:
            The translated packets and a verdict for each packet given.
        """
        return Translated(*self._core.translate_in(batch, peer=peer, now=now))

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
