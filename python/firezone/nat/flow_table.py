"""The Gateway's flow table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from firezone import _core

from .counters import FlowCounters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

    from firezone._core import PacketBatch, Verdicts

    from ._types import Address

Protocol = Literal["tcp", "udp", "icmp"]

__all__ = ["Flow", "FlowEvent", "FlowTable", "Imported", "Translated"]


class Translated(NamedTuple):
    """Packets that were translated, and what became of each packet of the batch."""

    packets: PacketBatch
    """Those whose verdict is `translated`, in order."""
    verdicts: Verdicts
    """One per packet given: `translated`, `malformed`, `no_address`, `no_flow`, `expired`,
    `exhausted`, `capped` or `unsupported`. A sequence of these names; as a buffer, their codes."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow, from the Client to the real address and back (R39)."""

    peer: int
    """Number of the Client."""
    protocol: Protocol
    """`icmp` is echo; its identifiers take the place of the ports."""
    client_port: int
    """Port at the Client."""
    proxy: str
    """Address that the Client knows."""
    remote_port: int
    """Port of the resource; 0 for echo."""
    outside_port: int
    """Port that the Gateway uses for it."""
    real: str
    """Address outside."""
    answered: bool
    """Whether anything ever came back."""
    sent_bytes: int
    """From the Client: bytes of whole packets."""
    sent_packets: int
    """From the Client: packets."""
    received_bytes: int
    """To the Client: bytes of whole packets."""
    received_packets: int
    """To the Client: packets."""
    opened: float
    """When its first packet came, in monotonic seconds, to the millisecond."""
    last_seen: float
    """When its latest packet came, likewise."""


@dataclass(frozen=True, slots=True)
class FlowEvent:
    """What happened to a flow."""

    event: Literal["opened", "closed"]
    """Which of the two."""
    reason: str | None
    """Why it was closed: `timeout`, `displaced`, `superseded`, `proxy_moved`, `revoked` or
    `peer_removed`."""
    flow: Flow
    """The flow, as it was then."""

    @classmethod
    def of(cls, row: dict[str, Any]) -> FlowEvent:
        """Make one of a row of the core."""
        return cls(row.pop("event"), row.pop("reason"), Flow(**row))


@dataclass(frozen=True, slots=True)
class Imported:
    """What came over from another table, and what did not."""

    flows: int
    """Flows."""
    rests: int
    """Ports that rest after a flow."""
    left_out: int
    """Flows and ports that did not come over."""


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

    def export_state(self, *, now: float) -> bytes:
        """Return all flows, and the ports that rest after some, as bytes (R38).

        Times are ages in there, so another table may count its time from elsewhere. No packets, no
        keys and no counters are in it, but the bytes and packets of each flow are.

        Raises:
            InvalidArgument: `now` is negative.
        """
        return self._core.export_state(now)

    def import_state(self, state: Buffer, *, now: float, since: float = 0.0) -> Imported:
        """Take over the flows of another table; this one must have none yet (R38).

        Args:
            state: What `export_state` returned.
            now: Monotonic seconds of this table.
            since: Seconds since it was exported.

        Returns:
            How many came over and how many did not, for want of room or because their Client's
            number is no peer's.

        Raises:
            InvalidArgument: It is no such state, is damaged or of another version, or this table is
                in use; nothing has changed then.

        >>> from firezone.nat import FlowTable, PacketBatch, udp
        >>> table, other = FlowTable(seed=1), FlowTable(seed=2)
        >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
        >>> sent = table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=50.0)
        >>> other.import_state(table.export_state(now=51.0), now=0.0).flows
        1
        >>> other.translate_out(batch, addresses={}, now=1.0).packets[0] == sent.packets[0]
        True
        """
        return Imported(*self._core.import_state(state, since, now))

    def flows(self) -> list[Flow]:
        """Return a row per flow, in no particular order (R40).

        >>> from firezone.nat import FlowTable, PacketBatch, udp
        >>> table = FlowTable(seed=1)
        >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
        >>> table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=2.0).verdicts
        ['translated']
        >>> [flow] = table.flows()
        >>> flow.real, flow.remote_port, flow.sent_bytes, flow.opened
        ('10.0.0.7', 53, 32, 2.0)
        """
        return [Flow(**row) for row in json.loads(self._core.flows())]

    def events(self) -> list[FlowEvent]:
        """Take what was opened and closed since the last call, oldest first (R39).

        At most 16,384 wait; those that were dropped are counted (`events_dropped`).
        """
        return [FlowEvent.of(row) for row in json.loads(self._core.events())]

    def counters(self) -> FlowCounters:
        """Return what happened so far, and what is there now (R39)."""
        return FlowCounters(**json.loads(self._core.counters()))
