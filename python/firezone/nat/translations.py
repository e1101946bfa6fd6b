"""The Gateway's translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firezone import _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from ._types import Address
    from .counters import TranslationsCounters

__all__ = ["Translations"]


class Translations:
    """The Gateway's translations (rules R17-R25): which real address stands behind a proxy.

    Args:
        seed: Seed of the hash tables.
        cache_floor: Seconds for which an answer counts as fresh at least (R20).
        failure_cache: Seconds for which a failure is not asked again (R20).

    >>> translations = Translations()
    >>> client, resource = (f"00000000-0000-0000-0000-{i:012}" for i in (1, 3))
    >>> translations.authorize(client, resource, "*.corp")
    >>> proxies = [*(f"100.96.0.{i}" for i in range(1, 5)),
    ...            *(f"fd00:2021:1111:8000::{i}" for i in range(4))]
    >>> message = {"resource": resource, "domain": "a.corp", "proxy_ips": proxies,
    ...            "id": 1, "run": 1}
    >>> translations.assigned_ips(message, client=client, now=0.0)
    >>> for lookup, name, family in translations.lookups():
    ...     found = [("10.0.0.7", 60)] if family == 4 else []
    ...     translations.resolved(lookup, family, found, now=0.1)
    >>> translations.find("100.96.0.1", client=client, now=0.2)
    IPv4Address('10.0.0.7')
    """

    def __init__(
        self, *, seed: int = 0, cache_floor: float = 1.0, failure_cache: float = 5.0
    ) -> None:
        self._core = _core.Translations(
            seed=seed, cache_floor=cache_floor, failure_cache=failure_cache
        )

    def authorize(self, client: str, resource: str, pattern: str) -> None:
        """Let a Client use a resource of names.

        Args:
            client: Id (UUID) of the Client.
            resource: Id (UUID) of the resource.
            pattern: The names, with `*`, `**` and `?`.

        Raises:
            InvalidArgument: An id is no UUID or the pattern is wrong.
        """
        self._core.authorize(client, resource, pattern)

    def assigned_ips(self, message: Mapping[str, object], *, client: str, now: float) -> None:
        """Take a Client's AssignedIps (R17).

        Args:
            message: The message, with the members that it has on the wire: `resource`, `domain`,
                `proxy_ips`, and optionally `id` and `run`.
            client: Id (UUID) of the Client.
            now: Monotonic seconds.

        Raises:
            InvalidArgument: A member lacks or is of another kind, the id is no UUID, or `now` is
                negative. A message that is whole but not allowed is counted as `rejected`.
            TypeError: A value in it is none of dict, list, str, int, float, bool, None.
        """
        self._core.assigned_ips(message, client=client, now=now)

    def lookups(self) -> list[tuple[int, str, int]]:
        """Take the look-ups that are wanted: id, name, IP version."""
        return self._core.lookups()

    def resolved(
        self,
        lookup: int,
        family: int,
        addresses: Sequence[tuple[Address, int]] | None = None,
        *,
        error: str | None = None,
        now: float,
    ) -> None:
        """Answer a look-up.

        Args:
            lookup: Its id.
            family: The IP version asked for.
            addresses: Addresses, each with its seconds to live.
            error: Or why there are none: `nx_domain`, `no_data`, `serv_fail`, `refused`,
                `timed_out`, `other`.
            now: Monotonic seconds.

        Raises:
            InvalidArgument: Both or neither of addresses and error, an unknown error, an IP version
                that is neither 4 nor 6, or `now` is negative.
        """
        given = None if addresses is None else list(addresses)
        self._core.resolved(lookup, family, given, error=error, now=now)

    def find(self, proxy: Address, *, client: str, now: float) -> IPv4Address | IPv6Address | None:
        """Return the real address that a new flow to a proxy address would get; None if none.

        Args:
            proxy: The proxy address.
            client: Id (UUID) of the Client.
            now: Monotonic seconds.

        Raises:
            InvalidArgument: The id is no UUID, or `now` is negative.
            ValueError: `proxy` is no address.
        """
        return self._core.find(proxy, client=client, now=now)

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
        """Take the DomainStatus messages to be sent: (Client, message)."""
        return self._core.transmits()

    def counters(self) -> TranslationsCounters:
        """Return what happened so far."""
        return self._core.counters()
