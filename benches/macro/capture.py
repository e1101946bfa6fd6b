"""Order and losses of inner packets, from a capture where they leave the tunnel."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .topology import Row

__all__ = ["Capture", "Order", "order_of_numbers", "order_of_segments", "packets"]

PORT: Final = 5201
_SNAP: Final = 96
"""Bytes kept of a packet: its headers, and the number that iperf3 writes first."""
_BUFFER: Final = 64 * 1024
"""KiB of tcpdump's buffer."""
_PATIENCE: Final = 20
_PCAP: Final = 0xA1B2C3D4
_ETHERNET: Final = 14
_UDP: Final = 17


@dataclass(frozen=True)
class Order:
    """How packets came.

    Args:
        packets: How many.
        late: Those that came after a later one.
        missing: Those that never came; of TCP, gaps at the time that the next one came.
    """

    packets: int
    late: int
    missing: int


class Capture:
    """tcpdump on the site's device while the context lasts.

    Args:
        row: Where.
        protocol: `udp` or `tcp`.
    """

    def __init__(self, row: Row, protocol: str) -> None:
        self._row, self._protocol = row, protocol
        self._file = row.folder / "capture.pcap"
        self.dropped = 0
        """Packets that tcpdump could not keep up with: what they were is not known."""

    def __enter__(self) -> Self:
        command = (
            "tcpdump", "-i", "lan", "-n", "-s", str(_SNAP), "-B", str(_BUFFER), "-w",
            str(self._file), "--direction", "in", f"{self._protocol} dst port {PORT}",
        )  # fmt: skip
        inside = self._row.site.command(*command)
        self._process = subprocess.Popen(inside, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        # It says so when it listens.
        self._process.stderr.readline()
        return self

    def __exit__(self, *_: object) -> None:
        # What came last is still in its buffer.
        time.sleep(0.5)
        self._process.send_signal(signal.SIGINT)
        said = self._process.communicate(timeout=_PATIENCE)[1]
        found = re.search(r"(\d+) packets? dropped by kernel", said)
        self.dropped = int(found[1]) if found else 0

    def order(self) -> Order:
        """Judge what was captured."""
        seen = packets(self._file)
        return order_of_numbers(seen) if self._protocol == "udp" else order_of_segments(seen)


def packets(file: Path) -> Iterator[bytes]:
    """Read the IPv4 packets of a capture of Ethernet frames."""
    data = memoryview(file.read_bytes())
    magic = struct.unpack_from("<I", data)[0]
    assert magic == _PCAP, "no capture of this machine"
    at = 24
    while at + 16 <= len(data):
        kept = struct.unpack_from("<I", data, at + 8)[0]
        yield bytes(data[at + 16 + _ETHERNET : at + 16 + kept])
        at += 16 + kept


def order_of_numbers(seen: Iterable[bytes]) -> Order:
    """Judge UDP packets of iperf3, which number themselves from 1."""
    numbers = []
    for packet in seen:
        payload = (packet[0] & 15) * 4 + 8
        # Seconds, microseconds, number. What begins and ends a stream has no full header.
        if packet[9] == _UDP and len(packet) >= payload + 12:
            numbers.append(struct.unpack_from("!i", packet, payload + 8)[0])
    numbers = [number for number in numbers if number > 0]
    highest = late = 0
    for number in numbers:
        late += number < highest
        highest = max(highest, number)
    return Order(len(numbers), late, highest - len(set(numbers)))


def order_of_segments(seen: Iterable[bytes]) -> Order:
    """Judge the TCP segments of each flow."""
    expected: dict[int, int] = {}
    count = late = missing = 0
    for packet in seen:
        header = (packet[0] & 15) * 4
        port, sequence = struct.unpack_from("!HxxI", packet, header)
        length = struct.unpack_from("!H", packet, 2)[0] - header - (packet[header + 12] >> 4) * 4
        if length <= 0:
            continue
        count += 1
        ahead = (sequence - expected.get(port, sequence)) & 0xFFFFFFFF
        if ahead >= 1 << 31:
            late += 1
            continue
        missing += ahead > 0
        expected[port] = (sequence + length) & 0xFFFFFFFF
    return Order(count, late, missing)
