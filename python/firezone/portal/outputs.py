"""What the API and the command line show: models made of records, without a secret in any.

Times are shown as RFC 3339 in UTC.
"""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from .model import Filter, ResourceKind, Role, TimeWindow, TokenKind

__all__ = [
    "AccessOutput",
    "AccountOutput",
    "AuditOutput",
    "DeviceOutput",
    "GroupOutput",
    "NewTokenOutput",
    "PolicyOutput",
    "ResourceOutput",
    "SiteOutput",
    "TokenOutput",
    "UserOutput",
    "moment",
]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def moment(value: int) -> str:
    """Return a time as RFC 3339."""
    return dt.datetime.fromtimestamp(value, dt.UTC).isoformat().replace("+00:00", "Z")


def _ports(one: Filter) -> str:
    if one.protocol == "icmp" or (one.first, one.last) == (0, 65535):
        return one.protocol
    last = "" if one.last == one.first else f"-{one.last}"
    return f"{one.protocol}/{one.first}{last}"


def _window(one: TimeWindow) -> str:
    days = ",".join(_DAYS[day] for day in sorted(one.days))
    times = (f"{minute // 60:02}:{minute % 60:02}" for minute in (one.start, one.end))
    return f"{days} {'-'.join(times)} {one.timezone}"


Moment = Annotated[int, PlainSerializer(moment, return_type=str)]
Ports = Annotated[str, BeforeValidator(_ports)]
Window = Annotated[str, BeforeValidator(_window)]
Network = Annotated[str, BeforeValidator(str)]
Sorted = Annotated[tuple[str, ...], BeforeValidator(sorted)]


class _Output(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)

    @classmethod
    def of(cls, record: object) -> Self:
        """Show what a record or a row has under these names, and nothing else of it."""
        return cls.model_validate(record)


class AccountOutput(_Output):
    """The account."""

    id: str
    slug: str
    name: str
    search_domain: str | None
    upstream_dns: tuple[IPv4Address | IPv6Address, ...]


class UserOutput(_Output):
    """A user."""

    id: str
    name: str
    email: str
    role: Role
    has_password: bool
    disabled_at: Moment | None
    created_at: Moment


class GroupOutput(_Output):
    """A group."""

    id: str
    name: str
    is_everyone: bool
    created_at: Moment


class SiteOutput(_Output):
    """A site."""

    id: str
    name: str
    created_at: Moment


class ResourceOutput(_Output):
    """A resource."""

    id: str
    kind: ResourceKind
    name: str
    address: str
    description: str | None
    ip_stack: str
    filters: tuple[Ports, ...]
    site: SiteOutput | None
    created_at: Moment


class ConditionsOutput(_Output):
    """When a policy applies, in the words of its input."""

    time_windows: tuple[Window, ...]
    remote_ip: tuple[Network, ...]
    client_verified: bool


class PolicyOutput(_Output):
    """A policy."""

    id: str
    group_id: str
    resource_id: str
    conditions: ConditionsOutput
    description: str | None
    disabled_at: Moment | None
    created_at: Moment


class DeviceOutput(_Output):
    """A Client or a Gateway."""

    id: str
    kind: TokenKind
    name: str
    external_id: str
    online: bool
    ipv4: IPv4Address
    ipv6: IPv6Address
    user_id: str | None
    site_id: str | None
    version: str | None
    user_agent: str | None
    remote_ip: str | None
    public_key: str | None
    last_seen_at: Moment | None
    verified_at: Moment | None
    created_at: Moment


class TokenOutput(_Output):
    """What is known of a token."""

    id: str
    kind: TokenKind
    name: str
    user_id: str | None
    site_id: str | None
    device_id: str | None
    scopes: Sorted
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    created_at: Moment


class NewTokenOutput(TokenOutput):
    """A token that was just made: the only time that it is shown."""

    token: str


class AccessOutput(_Output):
    """Who reaches what now, by a Gateway's acknowledgement."""

    client_id: str
    user_id: str
    gateway_id: str
    resource_id: str
    policy_id: str
    confirmed_at: Moment
    expires_at: Moment


class AuditOutput(_Output):
    """A line of the audit log."""

    id: int
    at: Moment
    actor: str
    action: str
    object_id: str | None
    details: dict[str, Any]
