"""The Client's side of the NAT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firezone import _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._types import Address
    from .counters import ResourceNatCounters

__all__ = ["ResourceNat"]


class ResourceNat:
    """The Client's side of the NAT (rules R01-R08): may a packet pass, and whom to tell.

    Args:
        seed: Seed of the hash tables.
        run: Number of the Client's process (R23).
        refresh_floor: Seconds between two refreshes of a name (R06).
        halt: Forget an entry with each query, as upstream once did: for comparison (R41).

    >>> nat = ResourceNat()
    >>> proxies = [*(f"100.96.0.{i}" for i in range(4)), *(f"fd00::{i}" for i in range(4))]
    >>> ids = {"gateway": "00000000-0000-0000-0000-000000000002",
    ...        "resource": "00000000-0000-0000-0000-000000000003"}
    >>> nat.establish("wiki.corp", proxies, now=0.0, **ids)
    >>> nat.decide("wiki.corp", 4, now=0.0, **ids)  # nobody knows yet
    'hold'
    >>> [(gateway, announced)] = nat.transmits()
    >>> announced["domain"], announced["id"]
    ('wiki.corp', 1)
    >>> answer = {"resource": ids["resource"], "domain": "wiki.corp", "status": "Active",
    ...           "id": 1, "ipv4": 2, "ipv6": 0}
    >>> nat.status(answer, gateway=gateway, now=0.1)
    >>> nat.decide("wiki.corp", 4, now=0.1, **ids), nat.decide("wiki.corp", 6, now=0.1, **ids)
    ('pass', 'refuse')
    """

    def __init__(
        self, *, seed: int = 0, run: int = 0, refresh_floor: float = 1.0, halt: bool = False
    ) -> None:
        self._core = _core.ResourceNat(seed=seed, run=run, refresh_floor=refresh_floor, halt=halt)

    def establish(
        self, name: str, proxies: Sequence[Address], *, gateway: str, resource: str, now: float
    ) -> None:
        """Make an entry and announce it; nothing happens if there is one.

        Args:
            name: The name.
            proxies: Four IPv4 and four IPv6 proxy addresses.
            gateway: Id (UUID) of the Gateway.
            resource: Id (UUID) of the resource.
            now: Monotonic seconds.

        Raises:
            InvalidArgument: A name, an id or the number of addresses is wrong.
        """
        self._core.establish(name, list(proxies), gateway=gateway, resource=resource, now=now)

    def query(self, name: str, *, now: float) -> None:
        """Say that an A or AAAA query was answered: exactly the name's entries refresh (R05).

        Args:
            name: The name that was asked for.
            now: Monotonic seconds.

        Raises:
            InvalidArgument: It is no name, or `now` is negative.
        """
        self._core.query(name, now=now)

    def decide(self, name: str, family: int, *, gateway: str, resource: str, now: float) -> str:
        """Return what becomes of a packet to a proxy address of a name.

        Args:
            name: The name.
            family: IP version of the packet, 4 or 6.
            gateway: Id (UUID) of the Gateway.
            resource: Id (UUID) of the resource.
            now: Monotonic seconds.

        Returns:
            `pass`, `hold` (R01), `refuse`; `unknown` without an entry.

        Raises:
            InvalidArgument: It is no name, an id is no UUID, the family is another, or `now` is
                negative.
        """
        return self._core.decide(name, family, gateway=gateway, resource=resource, now=now)

    def status(self, status: Mapping[str, object], *, gateway: str, now: float) -> None:
        """Take a Gateway's DomainStatus (R04).

        Args:
            status: The message, with the members that it has on the wire: `resource`, `domain`,
                `status`, and optionally `id`, `ipv4` and `ipv6`.
            gateway: Id (UUID) of the Gateway.
            now: Monotonic seconds.

        Raises:
            InvalidArgument: A member lacks or is of another kind, the id is no UUID, or `now` is
                negative.
            TypeError: A value in it is none of dict, list, str, int, float, bool, None.
        """
        self._core.status(status, gateway=gateway, now=now)

    def families(self, name: str) -> tuple[bool, bool]:
        """Return whether IPv4 and IPv6 may be offered for a name (R08).

        Raises:
            InvalidArgument: It is no name.
        """
        return self._core.families(name)

    def remove_resource(self, resource: str) -> None:
        """Lose a resource: its entries end.

        Raises:
            InvalidArgument: The id is no UUID.
        """
        self._core.remove_resource(resource)

    def advance(self, now: float) -> None:
        """Do what is due by `now`, in monotonic seconds.

        Raises:
            InvalidArgument: `now` is negative.
        """
        self._core.advance(now)

    def next_wake(self) -> float | None:
        """Return when `advance` is wanted next, in seconds; None if never."""
        return self._core.next_wake()

    def transmits(self) -> list[tuple[str, dict[str, Any]]]:
        """Take the AssignedIps to be sent: (Gateway, message)."""
        return self._core.transmits()

    def events(self) -> list[tuple[str, int | None]]:
        """Take what happened: the kind, and the IP version that it is about, if any."""
        return self._core.events()

    def counters(self) -> ResourceNatCounters:
        """Return what happened so far."""
        return self._core.counters()
