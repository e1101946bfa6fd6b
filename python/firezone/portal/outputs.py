"""What the API and the command line show: models made of records, without a secret in any.

Times are shown as RFC 3339 in UTC.
"""

from __future__ import annotations

import datetime as dt
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer

from .model import (
    Account,
    Authorization,
    Device,
    Filter,
    Group,
    Policy,
    Resource,
    ResourceKind,
    Role,
    Site,
    TimeWindow,
    Token,
    TokenKind,
    User,
)

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


Moment = Annotated[int, PlainSerializer(moment, return_type=str)]


class _Output(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class AccountOutput(_Output):
    """The account."""

    id: str
    slug: str
    name: str
    search_domain: str | None
    upstream_dns: tuple[IPv4Address | IPv6Address, ...]

    @classmethod
    def of(cls, account: Account) -> AccountOutput:
        """Show an account."""
        return cls.model_validate(account)


class UserOutput(_Output):
    """A user."""

    id: str
    name: str
    email: str
    role: Role
    has_password: bool
    disabled_at: Moment | None
    created_at: Moment

    @classmethod
    def of(cls, user: User) -> UserOutput:
        """Show a user."""
        return cls.model_validate(user)


class GroupOutput(_Output):
    """A group."""

    id: str
    name: str
    is_everyone: bool
    created_at: Moment

    @classmethod
    def of(cls, group: Group) -> GroupOutput:
        """Show a group."""
        return cls.model_validate(group)


class SiteOutput(_Output):
    """A site."""

    id: str
    name: str
    created_at: Moment

    @classmethod
    def of(cls, site: Site) -> SiteOutput:
        """Show a site."""
        return cls.model_validate(site)


class ResourceOutput(_Output):
    """A resource."""

    id: str
    kind: ResourceKind
    name: str
    address: str
    description: str | None
    ip_stack: str
    filters: tuple[str, ...]
    site: SiteOutput | None
    created_at: Moment

    @classmethod
    def of(cls, resource: Resource) -> ResourceOutput:
        """Show a resource."""
        return cls(
            id=resource.id,
            kind=resource.kind,
            name=resource.name,
            address=resource.address,
            description=resource.description,
            ip_stack=resource.ip_stack,
            filters=tuple(map(_ports, resource.filters)),
            site=None if resource.site is None else SiteOutput.of(resource.site),
            created_at=resource.created_at,
        )


def _ports(one: Filter) -> str:
    if one.protocol == "icmp" or (one.first, one.last) == (0, 65535):
        return one.protocol
    last = "" if one.last == one.first else f"-{one.last}"
    return f"{one.protocol}/{one.first}{last}"


class ConditionsOutput(_Output):
    """When a policy applies, in the words of its input."""

    time_windows: tuple[str, ...]
    remote_ip: tuple[str, ...]
    client_verified: bool


def _window(one: TimeWindow) -> str:
    days = ",".join(_DAYS[day] for day in sorted(one.days))
    times = (f"{minute // 60:02}:{minute % 60:02}" for minute in (one.start, one.end))
    return f"{days} {'-'.join(times)} {one.timezone}"


class PolicyOutput(_Output):
    """A policy."""

    id: str
    group_id: str
    resource_id: str
    conditions: ConditionsOutput
    description: str | None
    disabled_at: Moment | None
    created_at: Moment

    @classmethod
    def of(cls, policy: Policy) -> PolicyOutput:
        """Show a policy."""
        return cls(
            id=policy.id,
            group_id=policy.group_id,
            resource_id=policy.resource_id,
            conditions=ConditionsOutput(
                time_windows=tuple(map(_window, policy.conditions.time_windows)),
                remote_ip=tuple(map(str, policy.conditions.remote_ip)),
                client_verified=policy.conditions.client_verified,
            ),
            description=policy.description,
            disabled_at=policy.disabled_at,
            created_at=policy.created_at,
        )


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

    @classmethod
    def of(cls, device: Device) -> DeviceOutput:
        """Show a device."""
        return cls.model_validate(device)


class TokenOutput(_Output):
    """What is known of a token."""

    id: str
    kind: TokenKind
    name: str
    user_id: str | None
    site_id: str | None
    device_id: str | None
    scopes: tuple[str, ...]
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    created_at: Moment

    @classmethod
    def of(cls, token: Token) -> TokenOutput:
        """Show what is known of a token."""
        return cls(**cls.fields_of(token))

    @staticmethod
    def fields_of(token: Token) -> dict[str, Any]:
        """Return the fields of one."""
        names = TokenOutput.model_fields
        return {name: getattr(token, name) for name in names} | {"scopes": sorted(token.scopes)}


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

    @classmethod
    def of(cls, authorization: Authorization) -> AccessOutput:
        """Show an authorization."""
        return cls.model_validate(authorization)


class AuditOutput(_Output):
    """A line of the audit log."""

    id: int
    at: Moment
    actor: str
    action: str
    object_id: str | None
    details: dict[str, Any]
