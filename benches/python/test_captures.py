"""Capture files beside dpkt and scapy, in memory: what is measured is not the disk."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, Any

import dpkt
import pytest
from benches.python.harness import Row
from scapy.layers.inet import IP
from scapy.utils import PcapNgReader, PcapNgWriter, PcapReader, PcapWriter

from firezone.nat import PacketBatch, udp

if TYPE_CHECKING:
    from benches.python.harness import Measure

COUNT, FEW = 4096, 64
PACKETS = [udp("100.64.0.1", 5000 + i, "10.0.0.7", 443, bytes(1200)) for i in range(COUNT)]
BATCH = PacketBatch(PACKETS)
TIMES = [1_700_000_000_000_000_000 + i for i in range(COUNT)]
DPKT = {
    "pcap": (dpkt.pcap.Reader, dpkt.pcap.Writer),
    "pcapng": (dpkt.pcapng.Reader, dpkt.pcapng.Writer),
}
SCAPY = {"pcap": (PcapReader, PcapWriter), "pcapng": (PcapNgReader, PcapNgWriter)}
formats = pytest.mark.parametrize("form", ["pcap", "pcapng"])


def written(form: str, count: int = COUNT) -> bytes:
    """Write so many packets with ours."""
    file = io.BytesIO()
    batch = BATCH if count == COUNT else PacketBatch(PACKETS[:count])
    (batch.to_pcap if form == "pcap" else batch.to_pcapng)(file, timestamps=TIMES[:count])
    return file.getvalue()


def read(form: str, file: bytes) -> PacketBatch:
    """Read with ours."""
    return PacketBatch.from_pcap(file) if form == "pcap" else PacketBatch.from_pcapng(file)


@formats
def test_reading_beside_dpkt(measure: Measure, form: str) -> None:
    """Packets as bytes, on both sides."""
    file, reader = written(form), DPKT[form][0]
    assert [packet for _, packet in reader(io.BytesIO(file))] == PACKETS == list(read(form, file))
    measure(
        Row(f"{form} read", f"{COUNT:,} packets, as bytes", "dpkt"),
        COUNT,
        ours=lambda: list(read(form, file)),
        peer=lambda: [packet for _, packet in reader(io.BytesIO(file))],
    )


@formats
def test_writing_beside_dpkt(measure: Measure, form: str) -> None:
    """Packets that are bytes, on both sides."""

    def ours() -> None:
        batch = PacketBatch(PACKETS)
        (batch.to_pcap if form == "pcap" else batch.to_pcapng)(io.BytesIO(), timestamps=TIMES)

    def peer() -> None:
        writer: Any = DPKT[form][1](io.BytesIO())
        for packet, at in zip(PACKETS, TIMES, strict=True):
            writer.writepkt(packet, at / 1e9)

    measure(Row(f"{form} written", f"{COUNT:,} packets, from bytes", "dpkt"), COUNT,
            ours=ours, peer=peer)  # fmt: skip


@formats
def test_reading_beside_scapy(measure: Measure, form: str) -> None:
    """scapy parses what it reads, so ours makes columns of it; scapy gets fewer to do."""
    file, few, reader = written(form), written(form, FEW), SCAPY[form][0]
    units = COUNT if measure.side == "ours" else FEW
    measure(
        Row(f"{form} read and parsed", f"{COUNT:,} packets", "scapy"),
        units,
        ours=lambda: read(form, file).columns(),
        peer=lambda: list(reader(io.BytesIO(few))),
    )


@formats
def test_writing_beside_scapy(measure: Measure, form: str) -> None:
    """Packets that each side has as its own; scapy gets fewer to do, and nothing to keep."""
    packets, writer = [IP(packet) for packet in PACKETS[:FEW]], SCAPY[form][1]
    units = COUNT if measure.side == "ours" else FEW

    def peer() -> None:
        with contextlib.closing(writer(os.devnull)) as file:
            for packet in packets:
                file.write(packet)

    measure(
        Row(f"{form} written from own objects", f"{COUNT:,} packets", "scapy"),
        units,
        ours=lambda: written(form),
        peer=peer,
    )
