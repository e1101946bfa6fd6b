"""The Gateway's flow table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from firezone import _core

from .counters import FlowCounters

Protocol = Literal["tcp", "udp", "icmp"]

__all__ = ["Flow", "FlowEvent", "FlowTable"]


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


class FlowTable(_core.FlowTable):
    """The flow table of a Gateway (rules R26-R35).

    Args:
        seed: Makes outside ports and the order in hash tables unpredictable, and repeatable.
        flows_per_peer: Flows that one Client may have.
    """

    __slots__ = ()

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
        return [Flow(**row) for row in json.loads(self.flows_json())]

    def events(self) -> list[FlowEvent]:
        """Take what was opened and closed since the last call, oldest first (R39).

        At most 16,384 wait; those that were dropped are counted (`events_dropped`).
        """
        return [FlowEvent.of(row) for row in json.loads(self.events_json())]

    def counters(self) -> FlowCounters:
        """Return what happened so far, and what is there now (R39)."""
        return FlowCounters(**json.loads(self.counters_json()))
