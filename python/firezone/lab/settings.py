"""What a run of the demo is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .records import Mode

__all__ = ["DemoSettings", "Direction", "LinkSettings", "PathKind", "Policy"]

Policy = Literal["keep", "halt"]
Direction = Literal["up", "down"]
PathKind = Literal["tunnel", "process"]
"""Encrypted between two processes, or plain inside one."""

_QUEUE: Final = 64 * 2**20
"""Bytes before the link: more than all windows of TCP together, so that only TCP limits itself."""
_LEAST_BUFFER: Final = 2**17
_LARGEST_BUFFER: Final = 4 * 2**20
_QUEUED: Final = 0.01
"""Seconds that a packet may wait in the link's queue."""
_PER_BYTE: Final = 2
"""Bytes of a buffer for each byte that the link has room for: half of them are the kernel's."""


@dataclass(frozen=True)
class LinkSettings:
    """The link between Client and Gateway, alike in both directions.

    Args:
        latency: One way, in seconds.
        bandwidth: Bits per second of application packets, in a tunnel of its datagrams with all
            their headers; None for no limit.
        control_loss: Probability that a control message is lost.
        seed: Of everything that is random in it.
    """

    latency: float = 0.02
    bandwidth: int | None = 200_000_000
    control_loss: float = 0.0
    seed: int = 1

    @property
    def buffer_bytes(self) -> int:
        """What a connection's buffers may grow to: enough to fill the link, and its queue a little.

        In a tunnel everything has to wait in that queue, control messages too.
        """
        if self.bandwidth is None:
            return _LARGEST_BUFFER
        held = (2 * self.latency + _QUEUED) * self.bandwidth / 8
        return min(_LARGEST_BUFFER, max(_LEAST_BUFFER, int(_PER_BYTE * held)))

    def line(self) -> dict[str, object]:
        """Return one direction of an underlay, which tells nothing from anything."""
        return {"latency": self.latency, "bandwidth": self.bandwidth, "queue_bytes": _QUEUE}

    def impairments(self) -> dict[str, object]:
        """Return one direction as the core wants it."""
        control = {"latency": self.latency, "loss": self.control_loss, "queue_bytes": _QUEUE}
        return {"data": self.line(), "control": control}


@dataclass(frozen=True)
class DemoSettings:
    """All settings of a run.

    Args:
        policies: Which to run, in this order.
        seconds: How long the transfer is watched.
        direction: `up` for an upload, `down` for a download.
        queries_per_second: Rate of DNS queries.
        records: How the site's records change.
        link: The link.
        idle_queries: Ask for a name without traffic, for comparison.
        path: How the packets of `keep` travel; None for the tunnel, where that can be.
    """

    policies: tuple[Policy, ...] = ("keep", "halt")
    seconds: float = 15.0
    direction: Direction = "up"
    queries_per_second: float = 100.0
    records: Mode = "same"
    link: LinkSettings = LinkSettings()
    idle_queries: bool = False
    path: PathKind | None = None

    def path_of(self, policy: Policy) -> PathKind:
        """Return how the packets of a policy's run travel.

        No setting of a real endpoint leads to `halt` (R41), and nothing outside a tunnel can lose
        control messages alone: both need the link inside one process.
        """
        if policy == "halt" or self.link.control_loss > 0:
            return "process"
        return self.path or "tunnel"

    @property
    def query_name(self) -> str:
        """The name that the load of queries asks for."""
        return "idle.site.example" if self.idle_queries else "app.site.example"

    def is_slow(self, policy: Policy) -> bool:
        """Return whether a handshake takes so long that no rate of them can be asked for (§6).

        In a tunnel it stands in line with the transfer; inside one process it has its own way.
        """
        slow_round_trip = 0.04
        waiting = _QUEUED if self.path_of(policy) == "tunnel" else 0.0
        round_trip = 2 * self.link.latency + waiting
        return round_trip > slow_round_trip or self.link.control_loss > 0

    @property
    def looks_up(self) -> bool:
        """Whether look-ups come to an end soon enough to ask for a rate of them."""
        return self.records not in ("timeout", "late")

    @property
    def judges_new_connections(self) -> bool:
        """Whether the records tell where a new connection has to go."""
        return not self.idle_queries and self.records in ("same", "rotate", "replace")
