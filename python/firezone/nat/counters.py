"""Counters of the scripting API: each counts from the making of its object and never goes back."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BufferCounters", "FlowCounters", "ResourceNatCounters", "TranslationsCounters"]


@dataclass(frozen=True, slots=True)
class FlowCounters:
    """Of a `FlowTable` (R39). `live` and `resting` are what is there now.

    >>> from firezone.nat import FlowTable
    >>> FlowTable().counters().opened
    0
    """

    live: int
    """Flows now."""
    resting: int
    """Ports outside that rest after a flow now (R33)."""
    opened: int
    """Flows opened."""
    timed_out: int
    """Flows ended by their time-out (R30)."""
    displaced: int
    """Flows that gave way to another (R33)."""
    superseded: int
    """Flows whose place a new SYN took (R30)."""
    proxy_moved: int
    """Flows ended because their proxy address stands for another name (R23)."""
    revoked: int
    """Flows ended because access was revoked (R26)."""
    peer_removed: int
    """Flows ended with their Client."""
    rebound: int
    """Flows that moved to another real address before they were answered (R27)."""
    port_collisions: int
    """Flows that could not have their own port outside (R29)."""
    rests_cut_short: int
    """Ports taken before they had rested long enough (R33)."""
    refused_exhausted: int
    """Packets refused for want of a port (R29): verdict `exhausted`."""
    refused_cap: int
    """Packets refused for want of a place (R33): verdict `capped`."""
    late_outbound: int
    """Packets from the Client for flows that had ended (R34): verdict `expired`."""
    late_inbound: int
    """Packets to the Client for flows that had ended (R34): verdict `expired`."""
    events_dropped: int
    """Events that nobody took in time."""


@dataclass(frozen=True, slots=True)
class BufferCounters:
    """Of a `PacketBuffer`: packets, by what became of them (R11-R16).

    >>> from firezone.nat import PacketBatch, PacketBuffer
    >>> buffer = PacketBuffer()
    >>> buffer.push(buffer.open(now=0.0), PacketBatch([b"?"]), now=0.0)
    ['malformed']
    >>> buffer.counters().refused_malformed
    1
    """

    stored: int
    """Packets stored."""
    duplicate: int
    """Refused: the same packet waits already (R14)."""
    replaced: int
    """Packets whose newer version took their place (R14)."""
    released: int
    """Packets drained."""
    cleared: int
    """Packets dropped with their queue."""
    overwritten: int
    """Packets that a ring forgot (R41)."""
    refused_entry_bytes: int
    """Refused: the queue's bytes are used up."""
    refused_entry_packets: int
    """Refused: the queue's packets are used up."""
    refused_flow_share: int
    """Refused: the flow has its share of the queue (R13)."""
    refused_entry_share: int
    """Refused: the queue has its share of all (R13)."""
    refused_total: int
    """Refused: the bytes of all queues are used up (R11)."""
    refused_malformed: int
    """Refused: no packet."""
    peak_bytes: int
    """Most bytes that ever waited at a time."""
    peak_packets: int
    """Most packets that ever waited at a time."""


@dataclass(frozen=True, slots=True)
class ResourceNatCounters:
    """Of a `ResourceNat` (R01-R08).

    >>> from firezone.nat import ResourceNat
    >>> nat = ResourceNat()
    >>> nat.query("wiki.corp", now=0.0)
    >>> nat.counters().queries
    1
    """

    queries: int
    """Queries that it was told of."""
    touched_entries: int
    """Entries that queries led to."""
    handshakes: int
    """Set-ups and refreshes begun."""
    transmissions: int
    """AssignedIps messages to be sent."""
    refreshes_completed: int
    """Refreshes that were answered."""
    refreshes_stale: int
    """Refreshes that were given up."""
    statuses_ignored: int
    """DomainStatus messages that were for no entry, or late (R04)."""


@dataclass(frozen=True, slots=True)
class TranslationsCounters:
    """Of `Translations` (R17-R25).

    >>> from firezone.nat import Translations
    >>> Translations().counters().lookups
    0
    """

    announcements: int
    """AssignedIps messages taken."""
    rejected: int
    """AssignedIps messages refused (R17)."""
    touched_proxies: int
    """Proxy addresses that answers led to."""
    lookups: int
    """Look-ups wanted."""
    results: int
    """Answers taken."""
    results_ignored: int
    """Answers that came for no look-up, or late (R20)."""
    forbidden_addresses: int
    """Addresses in answers that may not be reached (R18)."""
    statuses: int
    """DomainStatus messages to be sent."""
