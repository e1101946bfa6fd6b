"""Who may what: pure functions of records and a time.

Nothing here reads a database or a clock, so every rule can be tried with plain values.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model import Client, Conditions, Gateway, Policy, Resource, TimeWindow

__all__ = [
    "Chance",
    "Decision",
    "choose_gateway",
    "decide",
    "is_compatible",
    "violated",
    "visible",
    "window_end",
]

T = TypeVar("T")
_DAY: Final = 1440
_FOREVER: Final = 9
"""Windows that join without a gap for longer than this many days are taken for endless."""


class Chance(Protocol):
    """What picks one of several equals; `random.SystemRandom`, or anything in a test."""

    def choice(self, seq: Sequence[T], /) -> T:
        """Return one."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on a request.

    Args:
        policy: Which policy grants it; None if none does.
        expires_at: When that ends.
        violated: Conditions that did not hold, if none grants it.
    """

    policy: Policy | None
    expires_at: int = 0
    violated: tuple[str, ...] = ()


def violated(conditions: Conditions, client: Client, now: int) -> tuple[str, ...]:
    """Return which conditions do not hold, by their names on the wire (signaling §6.5)."""
    names = []
    if conditions.remote_ip and not _comes_from(conditions, client):
        names.append("remote_ip")
    if conditions.time_windows and window_end(conditions.time_windows, now) == now:
        names.append("current_utc_datetime")
    if conditions.client_verified and not client.is_verified:
        names.append("client_verified")
    return tuple(names)


def _comes_from(conditions: Conditions, client: Client) -> bool:
    origin = client.remote_ip
    if origin is None:
        return False
    return any(
        origin.version == network.version and origin in network for network in conditions.remote_ip
    )


def window_end(windows: Sequence[TimeWindow], now: int) -> int | None:
    """Return when the windows that are open now close; `now` if none is, None if they never do.

    Windows that join are one: from 08:00 to 12:00 and from 12:00 to 18:00 is until 18:00.
    """
    end = now
    while end - now <= _FOREVER * 86400:
        later = max(
            (close for window in windows if (close := _close(window, end)) > end), default=0
        )
        if not later:
            return end
        end = later
    return None


def _close(window: TimeWindow, moment: int) -> int:
    """Return when a window that is open at a moment closes; 0 if it is not open."""
    zone = ZoneInfo(window.timezone)
    day = dt.datetime.fromtimestamp(moment, zone).date()
    if day.weekday() not in window.days:
        return 0
    close = _at(day, window.end, zone)
    return close if _at(day, window.start, zone) <= moment < close else 0


def _at(day: dt.date, minute: int, zone: ZoneInfo) -> int:
    """Return the moment of a wall clock's time; what the clock skips is the moment after."""
    midnight = dt.datetime.combine(day + dt.timedelta(minute // _DAY), dt.time(), zone)
    wall = midnight.replace(hour=minute % _DAY // 60, minute=minute % 60)
    return int(wall.timestamp())


def visible(
    offers: Iterable[tuple[Resource, Policy]], client: Client, now: int
) -> tuple[Resource, ...]:
    """Return what a Client sees: a policy's conditions hold, and there is a site to go through.

    Args:
        offers: Resources with the policies of the Client's groups for them.
        client: Who.
        now: The time.
    """
    seen = {
        resource.id: resource
        for resource, policy in offers
        if resource.site is not None
        and policy.disabled_at is None
        and not violated(policy.conditions, client, now)
    }
    return tuple(seen[key] for key in sorted(seen))


def decide(
    policies: Iterable[Policy], client: Client, token_ends: int | None, now: int
) -> Decision:
    """Decide on a request for a resource.

    Args:
        policies: Those of the Client's groups for the resource.
        client: Who asks.
        token_ends: When its token expires.
        now: The time.

    Returns:
        The policy that grants it for the longest: until the token or its time window ends. If none
        grants it, what was violated.
    """
    best: Decision | None = None
    missed: list[str] = []
    for policy in policies:
        if policy.disabled_at is not None:
            continue
        unmet = violated(policy.conditions, client, now)
        missed += [name for name in unmet if name not in missed]
        if unmet:
            continue
        ends = [moment for moment in (token_ends, _closes(policy.conditions, now)) if moment]
        expires_at = min(ends, default=now + _FOREVER * 86400)
        if expires_at > now and (best is None or expires_at > best.expires_at):
            best = Decision(policy, expires_at)
    return best or Decision(None, violated=tuple(missed))


def _closes(conditions: Conditions, now: int) -> int | None:
    return window_end(conditions.time_windows, now) if conditions.time_windows else None


def choose_gateway(
    online: Sequence[Gateway], connected: Sequence[str], client_version: str | None, chance: Chance
) -> Gateway | str:
    """Choose a Gateway (signaling §6.3).

    Args:
        online: Those of the resource's site that are there.
        connected: Ids that the Client would rather use, the most wanted first.
        client_version: Of the Client; None takes any Gateway.
        chance: Picks one of those that are equal.

    Returns:
        The Gateway, or the reason why there is none.
    """
    if not online:
        return "offline"
    able = [gateway for gateway in online if is_compatible(client_version, gateway.version)]
    if not able:
        return "version_mismatch"
    known = {gateway.id: gateway for gateway in able}
    for wanted in connected:
        if wanted in known:
            return known[wanted]
    newest = max(_version(gateway.version) for gateway in able)
    return chance.choice([gateway for gateway in able if _version(gateway.version) == newest])


def is_compatible(client: str | None, gateway: str | None) -> bool:
    """Tell whether two versions work together (signaling §2.3)."""
    if client is None:
        return True
    ours, theirs = _version(client), _version(gateway)
    return gateway is not None and ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1


def _version(text: str | None) -> tuple[int, int, int]:
    """Return a version's numbers; what follows a hyphen or plus does not count."""
    parts = (text or "").partition("-")[0].partition("+")[0].split(".")
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts[:3]]
    first, second, third = [*numbers, 0, 0, 0][:3]
    return first, second, third
