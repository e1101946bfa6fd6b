"""Parse, NAT and checksums beside scapy and dpkt, and ways to make a batch."""

from __future__ import annotations

import socket
from itertools import accumulate
from typing import TYPE_CHECKING

import dpkt
from benches.python.harness import Row
from scapy.layers.inet import IP, UDP

from firezone.nat import FlowTable, PacketBatch, udp

if TYPE_CHECKING:
    from benches.python.harness import Measure

CLIENT, PROXY, REAL = "100.64.0.1", "100.96.0.1", "10.0.0.7"
COUNT = 256
PACKETS = [udp(CLIENT, 5000 + i, PROXY, 443, bytes(1200)) for i in range(COUNT)]
WHAT = "parse, NAT and checksums, from bytes to bytes"


def ours() -> list[bytes]:
    """Translate packets that are bytes into such."""
    batch = PacketBatch(PACKETS)
    return list(TABLE.translate_out(batch, addresses={PROXY: REAL}, now=1.0).packets)


TABLE = FlowTable(seed=1)


def with_dpkt() -> list[bytes]:
    """Do the same with dpkt; the flow is found in a dict."""
    real = {socket.inet_aton(PROXY): socket.inet_aton(REAL)}
    translated = []
    for raw in PACKETS:
        packet = dpkt.ip.IP(raw)
        packet.dst, packet.sum, packet.data.sum = real[packet.dst], 0, 0
        translated.append(bytes(packet))
    return translated


def with_scapy() -> list[bytes]:
    """Do the same with scapy."""
    real, translated = {PROXY: REAL}, []
    for raw in PACKETS[:16]:
        packet = IP(raw)
        packet[IP].dst = real[packet[IP].dst]
        del packet[IP].chksum
        del packet[UDP].chksum
        translated.append(bytes(packet))
    return translated


def test_dpkt(measure: Measure) -> None:
    """Beside dpkt."""
    assert with_dpkt() == ours()
    measure(Row(WHAT, f"{COUNT} datagrams", "dpkt", 10.0), COUNT, ours=ours, peer=with_dpkt)


def test_scapy(measure: Measure) -> None:
    """Beside scapy, which gets fewer to do."""
    assert with_scapy() == ours()[:16]
    units = COUNT if measure.side == "ours" else 16
    measure(Row(WHAT, f"{COUNT} datagrams", "scapy", 50.0), units, ours=ours, peer=with_scapy)


def test_ways_to_make_a_batch(measure: Measure) -> None:
    """A buffer with offsets beside a list of bytes."""
    buffer = b"".join(PACKETS)
    offsets = list(accumulate((len(packet) for packet in PACKETS[:-1]), initial=0))
    measure(
        Row("a batch is made", f"{COUNT} datagrams, buffer and offsets", "list of bytes"),
        COUNT,
        ours=lambda: PacketBatch.from_buffer(buffer, offsets),
        peer=lambda: PacketBatch(PACKETS),
    )
