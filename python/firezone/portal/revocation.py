"""What a change takes away, and who is to be told what (signaling §7.7): pure functions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from .events import AccessRejected, Event, ViewChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .model import Authorization

__all__ = [
    "Change",
    "DeviceGone",
    "MembershipEnded",
    "PolicyWithdrawn",
    "ResourceMoved",
    "TokenEnded",
    "UserGone",
    "VerificationEnded",
    "consequences",
    "narrowed",
    "revoked",
]


@dataclass(frozen=True, slots=True)
class PolicyWithdrawn:
    """Disabled, deleted, or of another group, resource or condition than before."""

    policy_id: str


@dataclass(frozen=True, slots=True)
class ResourceMoved:
    """Deleted, or of another address, type, IP stack or site; not of other filters alone."""

    resource_id: str


@dataclass(frozen=True, slots=True)
class MembershipEnded:
    """A user has left a group."""

    user_id: str
    group_id: str


@dataclass(frozen=True, slots=True)
class TokenEnded:
    """A token was revoked."""

    token_id: str


@dataclass(frozen=True, slots=True)
class DeviceGone:
    """A Client or Gateway was deleted."""

    device_id: str


@dataclass(frozen=True, slots=True)
class UserGone:
    """A user was disabled or deleted."""

    user_id: str


@dataclass(frozen=True, slots=True)
class VerificationEnded:
    """Nobody vouches for a Client any more."""

    client_id: str


Change: TypeAlias = (
    PolicyWithdrawn
    | ResourceMoved
    | MembershipEnded
    | TokenEnded
    | DeviceGone
    | UserGone
    | VerificationEnded
)


def narrowed(change: Change) -> list[Mapping[str, object]]:
    """Return what an authorization must equal to be revoked: all of one of these.

    The keys are names of `Authorization`'s fields, so that a database can ask the same.
    """
    if isinstance(change, DeviceGone):
        return [{"client_id": change.device_id}, {"gateway_id": change.device_id}]
    if isinstance(change, VerificationEnded):
        return [{"client_id": change.client_id, "needs_verified": True}]
    return [asdict(change)]


def revoked(change: Change, granted: Iterable[Authorization]) -> list[Authorization]:
    """Return what a change takes away."""
    return [
        authorization
        for authorization in granted
        if any(
            all(getattr(authorization, name) == value for name, value in one.items())
            for one in narrowed(change)
        )
    ]


def consequences(ended: Iterable[Authorization], watching: Iterable[str], now: int) -> list[Event]:
    """Return who is told what.

    Args:
        ended: What was taken away.
        watching: Clients that see something else than before, whether they had access or not.
        now: The time; what has expired by itself needs no rejection.

    Returns:
        First to the Gateways, which end the access; then to the Clients.
    """
    rejected: dict[str, list[tuple[str, str]]] = defaultdict(list)
    reset: dict[str, set[str]] = {client: set() for client in watching}
    for authorization in ended:
        if authorization.expires_at > now:
            pair = (authorization.client_id, authorization.resource_id)
            rejected[authorization.gateway_id].append(pair)
        reset.setdefault(authorization.client_id, set()).add(authorization.resource_id)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for client, resources in reset.items():
        alike[tuple(sorted(resources))].append(client)
    return [
        *(AccessRejected(gateway, tuple(sorted(pairs))) for gateway, pairs in rejected.items()),
        *(ViewChanged(tuple(sorted(clients)), same) for same, clients in alike.items()),
    ]
