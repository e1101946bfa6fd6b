"""The scripting API per packet: batches of 256, against scapy. Nothing here passes or fails."""

from __future__ import annotations

import socket
from typing import Any

import dpkt
from scapy.layers.inet import IP, UDP

from firezone.nat import FlowTable, PacketBatch, udp

CLIENT, PROXY, REAL = "100.64.0.1", "100.96.0.1", "10.0.0.7"
COUNT = 256


def packets() -> list[bytes]:
    """Make datagrams of 256 flows."""
    return [udp(CLIENT, 5000 + i, PROXY, 443, bytes(1200)) for i in range(COUNT)]


def warm() -> tuple[FlowTable, PacketBatch]:
    """Make a table in which the flows of a batch stand."""
    table, batch = FlowTable(seed=1), PacketBatch(packets())
    table.translate_out(batch, peer=0, addresses={PROXY: REAL}, now=1.0)
    return table, batch


def test_translate_out(benchmark: Any) -> None:
    """A batch of 256 packets through the flow table."""
    table, batch = warm()
    benchmark.extra_info.update(what="`FlowTable.translate_out`, batch of 256", packets=COUNT)

    benchmark(table.translate_out, batch, peer=0, addresses={PROXY: REAL}, now=1.0)


def test_translate_out_alone(benchmark: Any) -> None:
    """The cost of a call: a batch of one."""
    table, _ = warm()
    batch = PacketBatch(packets()[:1])
    benchmark.extra_info.update(what="`FlowTable.translate_out`, one packet", packets=1)

    benchmark(table.translate_out, batch, peer=0, addresses={PROXY: REAL}, now=1.0)


def test_dpkt(benchmark: Any) -> None:
    """The same with dpkt."""
    raw, real = packets()[0], socket.inet_aton(REAL)

    def translate() -> bytes:
        packet = dpkt.ip.IP(raw)
        packet.dst, packet.sum, packet.data.sum = real, 0, 0
        return bytes(packet)

    benchmark.extra_info.update(what="dpkt: parse, rewrite, checksum", packets=1)

    benchmark(translate)


def test_scapy(benchmark: Any) -> None:
    """The same with scapy: parse, rewrite, compute the checksums anew."""
    raw = packets()[0]

    def translate() -> bytes:
        packet = IP(raw)
        packet[IP].dst = REAL
        del packet[IP].chksum
        del packet[UDP].chksum
        return bytes(packet)

    benchmark.extra_info.update(what="scapy: parse, rewrite, checksum", packets=1)

    benchmark(translate)
