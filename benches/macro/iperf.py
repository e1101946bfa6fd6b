"""iperf3: its command lines, and what its JSON says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["TcpResult", "UdpResult", "read_tcp", "read_udp", "tcp", "udp"]

Direction = Literal["up", "down"]

PAYLOAD = 1200
"""Bytes of a UDP packet's payload."""
SEGMENT = 1240 - 12
"""Bytes of TCP payload in a packet of 1280: headers of IPv4 and TCP, and the timestamps."""


@dataclass(frozen=True)
class TcpResult:
    """What TCP did.

    Args:
        gbps: Payload of the measured seconds, in Gb/s at the receiver.
        bytes: Payload of all seconds, those at the beginning too.
        retransmits: Segments sent again in the measured seconds.
    """

    gbps: float
    bytes: int
    retransmits: int

    @property
    def packets(self) -> float:
        """Data packets inside the tunnel, each of full size."""
        return self.bytes / SEGMENT


@dataclass(frozen=True)
class UdpResult:
    """What UDP did, as the receiver counts it.

    Args:
        offered_mbps: What the sender sent.
        lost: The share that did not arrive.
        out_of_order: Packets that came after a later one.
        packets: Packets sent.
    """

    offered_mbps: float
    lost: float
    out_of_order: int
    packets: int


def tcp(
    target: str, direction: Direction, streams: int, seconds: float, omit: float, *more: str
) -> list[str]:
    """Return the command that sends TCP for some seconds, after some that do not count."""
    command = ["iperf3", "--client", target, "--json", "--parallel", str(streams)]
    command += ["--time", f"{seconds:g}", "--omit", f"{omit:g}", "--connect-timeout", "3000", *more]
    return [*command, "--reverse"] if direction == "down" else command


def udp(target: str, mbps: float, seconds: float) -> list[str]:
    """Return the command that sends UDP to the site at a fixed rate."""
    # With room at the receiver: what a busy machine loses behind the tunnel is not the tunnel's.
    rate = ("--udp", "--bitrate", f"{mbps:g}M", "--length", str(PAYLOAD), "--window", "4M")
    return ["iperf3", "--client", target, "--json", *rate, "--time", f"{seconds:g}"]


def read_tcp(said: dict[str, Any]) -> TcpResult:
    """Read a result.

    Raises:
        ValueError: iperf3 says that it failed.
    """
    end = _end(said)
    return TcpResult(
        gbps=end["sum_received"]["bits_per_second"] / 1e9,
        bytes=sum(interval["sum"]["bytes"] for interval in said["intervals"]),
        retransmits=end["sum_sent"].get("retransmits", 0),
    )


def read_udp(said: dict[str, Any]) -> UdpResult:
    """Read a result.

    Raises:
        ValueError: iperf3 says that it failed.
    """
    end = _end(said)
    whole = end["sum"]
    return UdpResult(
        # Over the sender's seconds: what it had for the rate that it was asked for.
        offered_mbps=whole["bits_per_second"] / 1e6,
        lost=whole["lost_packets"] / whole["packets"] if whole["packets"] else 1.0,
        out_of_order=sum(stream["udp"].get("out_of_order", 0) for stream in end["streams"]),
        packets=whole["packets"],
    )


def _end(said: dict[str, Any]) -> dict[str, Any]:
    if "error" in said:
        raise ValueError(said["error"])
    end: dict[str, Any] = said["end"]
    return end
