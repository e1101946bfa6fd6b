"""Building packets, for scripts and tests."""

from __future__ import annotations

from firezone import _core

__all__ = ["tcp", "udp"]


def udp(source: str, source_port: int, destination: str, port: int, payload: bytes) -> bytes:
    """Build a whole UDP packet with right checksums (RFC 768).

    Args:
        source: Address of the sender.
        source_port: Its port.
        destination: Address of the receiver, of the same family.
        port: Its port.
        payload: At most 1212 bytes.

    Raises:
        InvalidArgument: An address is none, the families differ, or the payload is too long.

    >>> packet = udp("10.0.0.1", 53, "10.0.0.2", 5000, b"hello")
    >>> packet[20:28].hex(" ", 2)  # ports, length, checksum
    '0035 1388 000d 9442'
    """
    return _core.udp(source, source_port, destination, port, payload)


def tcp(
    source: str,
    source_port: int,
    destination: str,
    port: int,
    *,
    sequence: int = 0,
    acknowledgement: int = 0,
    flags: str = "S",
    payload: bytes = b"",
) -> bytes:
    """Build a whole TCP segment without options, with right checksums (RFC 9293).

    Args:
        source: Address of the sender.
        source_port: Its port.
        destination: Address of the receiver, of the same family.
        port: Its port.
        sequence: Sequence number.
        acknowledgement: Acknowledgement number.
        flags: Letters of `FSRPAU`, as tcpdump and scapy write them.
        payload: At most 1200 bytes.

    Raises:
        InvalidArgument: An address or a flag is none, the families differ, or the payload is too
            long.

    >>> segment = tcp("fd00::1", 40000, "fd00::2", 443, flags="SA", sequence=7)
    >>> len(segment), segment[53] == 0x12  # SYN and ACK (RFC 9293 §3.1)
    (60, True)
    """
    return _core.tcp(
        source, source_port, destination, port, sequence, acknowledgement, flags, payload
    )
