"""Why a resource is not reachable: what a portal said last, for people."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from .resources import AtSites, covers, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Refusals"]

OFFLINE_FOR: Final = 300.0
"""Seconds that a site counts as offline, unless one of its Gateways is connected."""
MOST_WITHDRAWN: Final = 64
"""Resources that were taken away and are still told of; the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class _Withdrawn:
    resource: AtSites
    since: float


class Refusals:
    """What was refused, what was taken away, which sites are offline.

    Args:
        clock: Seconds that only grow.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._now = clock, now
        self._refused: dict[str, str] = {}
        self._offline: dict[str, float] = {}
        self._withdrawn: dict[str, _Withdrawn] = {}

    def refused(self, resource: AtSites, reason: str, properties: Sequence[str] = ()) -> str:
        """Note why the portal gave no access; return it for people."""
        sites = ", ".join(site.name for site in resource.sites) or "no site"
        text = {
            "offline": f"no Gateway of {sites} is online",
            "forbidden": f"a policy's condition is not met ({', '.join(properties) or 'not said'})",
            "not_found": "no policy grants it",
            "version_mismatch": f"no Gateway of {sites} has a version that fits",
        }.get(reason, reason)
        if reason == "offline":
            for site in resource.sites:
                self._offline[str(site.id)] = self._clock() + OFFLINE_FOR
        self._refused[str(resource.id)] = text
        return text

    def given(self, resource: str) -> None:
        """Note that a resource (its id) may be used."""
        self._refused.pop(resource, None)

    def site_answers(self, site: str) -> None:
        """Note that a Gateway of a site (its id) is connected."""
        self._offline.pop(site, None)

    def withdrawn(self, resource: AtSites) -> None:
        """Note that the portal has taken a resource away."""
        self._refused.pop(str(resource.id), None)
        self._withdrawn.pop(str(resource.id), None)
        self._withdrawn[str(resource.id)] = _Withdrawn(resource, self._now())
        if len(self._withdrawn) > MOST_WITHDRAWN:
            del self._withdrawn[next(iter(self._withdrawn))]

    def there_again(self, resource: str) -> None:
        """Note that the portal has granted a resource (its id)."""
        self._withdrawn.pop(resource, None)

    def why_not(self, resource: AtSites) -> str | None:
        """Return why a resource cannot be used now; None if nothing speaks against it."""
        now = self._clock()
        offline = [site for site in resource.sites if self._offline.get(str(site.id), now) > now]
        if resource.sites and len(offline) == len(resource.sites):
            names = ", ".join(site.name for site in offline)
            return self._refused.get(str(resource.id)) or f"no Gateway of {names} is online"
        return self._refused.get(str(resource.id))

    def why_nothing_covers(self, target: str) -> str | None:
        """Return why no resource covers a name or an address that one covered before."""
        for known in reversed(self._withdrawn.values()):
            if _covered(known.resource, target):
                return _told(known)
        return None

    def list_withdrawn(self) -> list[dict[str, Any]]:
        """Return what was taken away, for `status`."""
        return [
            {
                "name": known.resource.name,
                "address": covers(known.resource),
                "since": known.since,
                "reason": "no policy grants it any more",
            }
            for known in self._withdrawn.values()
        ]


def _covered(resource: AtSites, target: str) -> bool:

    if resource.type == "dns":
        return matches(resource.address, target)
    try:
        address = ip_address(target)
    except ValueError:
        return False
    return resource.type == "internet" or address in resource.address


def _told(known: _Withdrawn) -> str:
    moment = time.strftime("%H:%M:%S", time.localtime(known.since))
    return f"the portal took {known.resource.name} away at {moment}: no policy grants it any more"
