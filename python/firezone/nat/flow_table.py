"""The Gateway's flow table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firezone import _core

Protocol = Literal["tcp", "udp", "icmp"]

__all__ = ["Flow", "FlowEvent", "FlowTable"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow, from the Client to the real address and back (R39).

    >>> from firezone.nat import FlowTable, PacketBatch, tcp
    >>> table, batch = FlowTable(), PacketBatch([tcp("100.64.0.1", 5000, "100.96.0.1", 443)])
    >>> sent = table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=2.0)
    >>> flow = table.flows()[0]
    >>> flow.protocol, flow.proxy, flow.sent_packets, flow.answered
    ('tcp', '100.96.0.1', 1, False)
    """

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
    """What happened to a flow.

    >>> from firezone.nat import FlowTable, PacketBatch, tcp
    >>> table, batch = FlowTable(), PacketBatch([tcp("100.64.0.1", 5000, "100.96.0.1", 443)])
    >>> sent = table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=2.0)
    >>> table.end_proxy("100.96.0.1", now=3.0)
    1
    >>> [(event.event, event.reason) for event in table.events()]
    [('opened', None), ('closed', 'proxy_moved')]
    """

    event: Literal["opened", "closed"]
    """Which of the two."""
    reason: str | None
    """Why it was closed: `timeout`, `displaced`, `superseded`, `proxy_moved`, `revoked` or
    `peer_removed`."""
    flow: Flow
    """The flow, as it was then."""


class FlowTable(_core.FlowTable):
    """The flow table of a Gateway (rules R26-R35).

    Args:
        seed: Makes outside ports and the order in hash tables unpredictable, and repeatable.
        flows_per_peer: Flows that one Client may have.
    """

    __slots__ = ()
