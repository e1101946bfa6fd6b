"""What a run of the demo is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .records import Mode

__all__ = ["DemoSettings", "Direction", "LinkSettings", "Policy"]

Policy = Literal["keep", "halt"]
Direction = Literal["up", "down"]

_QUEUE: Final = 64 * 2**20
"""Bytes before the link: more than all windows of TCP together, so that only TCP limits itself."""


@dataclass(frozen=True)
class LinkSettings:
    """The link between Client and Gateway, alike in both directions.

    Args:
        latency: One way, in seconds.
        bandwidth: Bits per second of application packets; None for no limit.
        control_loss: Probability that a control message is lost.
        seed: Of everything that is random in it.
    """

    latency: float = 0.02
    bandwidth: int | None = 200_000_000
    control_loss: float = 0.0
    seed: int = 1

    def impairments(self) -> dict[str, object]:
        """Return one direction as the core wants it."""
        data = {"latency": self.latency, "bandwidth": self.bandwidth, "queue_bytes": _QUEUE}
        control = {"latency": self.latency, "loss": self.control_loss, "queue_bytes": _QUEUE}
        return {"data": data, "control": control}


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
    """

    policies: tuple[Policy, ...] = ("keep", "halt")
    seconds: float = 15.0
    direction: Direction = "up"
    queries_per_second: float = 100.0
    records: Mode = "same"
    link: LinkSettings = LinkSettings()
    idle_queries: bool = False

    @property
    def query_name(self) -> str:
        """The name that the load of queries asks for."""
        return "idle.site.example" if self.idle_queries else "app.site.example"

    @property
    def is_slow(self) -> bool:
        """Whether a handshake takes so long that a rate of them cannot be asked for (§6)."""
        slow_round_trip = 0.04
        return 2 * self.link.latency > slow_round_trip or self.link.control_loss > 0

    @property
    def looks_up(self) -> bool:
        """Whether look-ups come to an end soon enough to ask for a rate of them."""
        return self.records not in ("timeout", "late")

    @property
    def judges_new_connections(self) -> bool:
        """Whether the records tell where a new connection has to go."""
        return not self.idle_queries and self.records in ("same", "rotate", "replace")
