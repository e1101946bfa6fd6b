"""A Client and a Gateway in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from firezone import _core
from firezone._core import PacketBatch

from .packets import udp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._types import Side

__all__ = ["Deliveries", "Pair"]

SENTINEL = "100.100.111.1"
"""Where the Client's host asks DNS."""
_DNS_PORT = 53
_EPHEMERAL = 49_152


class Deliveries(NamedTuple):
    """Packets that an end handed to its host, and when.

    >>> from firezone.nat import Pair
    >>> packets, times = Pair().deliveries("client")
    >>> len(packets), times
    (0, [])
    """

    packets: PacketBatch
    """In order."""
    times: list[float]
    """Seconds, one per packet."""


class Pair:
    """A whole Client and a whole Gateway, joined by a seeded link under one clock.

    Nothing happens but by `send`, `command` and `advance`. The Client's host has the tunnel
    addresses 100.64.0.1 and fd00:2021:1111::1.

    Args:
        seed: Seed of everything.
        halt: Forget a name's NAT with each query, as upstream once did: for comparison (R41).
        refresh_floor: Seconds between two refreshes of a name (R06).
        cache_floor: Seconds for which the Gateway takes an answer as fresh at least (R20).
        failure_cache: Seconds for which it does not ask again after a failure (R20).
        data: The link for packets of applications, each way: any of `latency`, `jitter`,
            `reorder_delay` (seconds), `loss`, `duplicate`, `reorder` (probabilities), `bandwidth`
            (bits per second), `queue_bytes`.
        control: The same for the tunnel's own messages.

    Raises:
        InvalidArgument: A setting of a link is none.

    >>> pair = Pair(seed=7, control={"latency": 0.02})
    >>> pair.authorize(
    ...     {"id": "00000000-0000-0000-0000-000000000001", "type": "dns", "address": "*.corp"}
    ... )
    >>> pair.query("wiki.corp")
    >>> pair.advance(0.1)
    >>> [event["name"] for _, _, event in pair.events() if event["type"] == "resolve_domain"]
    ['wiki.corp', 'wiki.corp']
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        halt: bool = False,
        refresh_floor: float = 1.0,
        cache_floor: float = 1.0,
        failure_cache: float = 5.0,
        data: Mapping[str, float] | None = None,
        control: Mapping[str, float] | None = None,
    ) -> None:
        settings = {
            "seed": seed,
            "halt": halt,
            "refresh_floor": refresh_floor,
            "cache_floor": cache_floor,
            "failure_cache": failure_cache,
            "data": dict(data or {}),
            "control": dict(control or {}),
        }
        self._core = _core.Pair(settings)
        self._queries = 0

    @property
    def now(self) -> float:
        """The present, in seconds since the pair was made."""
        return self._core.now

    def authorize(self, resource: Mapping[str, object], *, expires_in: float | None = None) -> None:
        """Let both ends use a resource.

        Args:
            resource: With `id` (UUID), `type` (`dns` or `cidr`), `address` (pattern or network) and
                optionally `filters`, as the portal words it.
            expires_in: Seconds until the Gateway ends the access.

        Raises:
            InvalidArgument: The resource is not one.
            TypeError: A value in it is none of dict, list, str, int, float, bool, None.
        """
        self._core.authorize(resource, expires_in=expires_in)

    def command(self, side: Side, command: Mapping[str, object]) -> None:
        """Give a command to an end, in the shapes of the core's messages.

        Args:
            side: `client` or `gateway`.
            command: The command; its member `type` says which.

        Raises:
            InvalidArgument: The end does not know it, or is none.
            TypeError: A value in it is none of dict, list, str, int, float, bool, None.
        """
        self._core.command(side, command)

    def send(self, side: Side, batch: PacketBatch) -> int:
        """Let the host of an end send packets; return how many were malformed.

        Args:
            side: `client` or `gateway`.
            batch: The packets, sent at once.

        Raises:
            InvalidArgument: The end is none.
        """
        return self._core.send(side, batch)

    def query(self, name: str, record: str = "A") -> None:
        """Let the Client's host ask DNS for a name; the answer is a delivery to it.

        Args:
            name: The name.
            record: Type of the record, as in a zone file.

        Raises:
            dns.exception.DNSException: It is no name or no type.
        """
        import dns.message  # noqa: PLC0415 - a script that asks nothing need not load dnspython

        self._queries += 1
        message = dns.message.make_query(name, record, id=self._queries % 65_536).to_wire()
        port = _EPHEMERAL + self._queries % 1000
        packet = udp("100.64.0.1", port, SENTINEL, _DNS_PORT, message)
        self.send("client", PacketBatch([packet]))

    def advance(self, until: float) -> None:
        """Move the clock to `until` seconds, doing all that falls due on the way.

        Raises:
            InvalidArgument: `until` is negative.
        """
        self._core.advance(until)

    def next_wake(self) -> float | None:
        """Return when something is due next, in seconds; None if nothing is."""
        return self._core.next_wake()

    def deliveries(self, side: Side) -> Deliveries:
        """Take what was delivered to the host of an end.

        Args:
            side: `client` or `gateway`.

        Raises:
            InvalidArgument: The end is none.
        """
        return Deliveries(*self._core.deliveries(side))

    def events(self) -> list[tuple[float, str, dict[str, Any]]]:
        """Take all events: when, of which end, and what."""
        return self._core.events()
