"""What a portal knows of: plain frozen records, without a database and without behaviour.

Ids are UUIDs as lower-case text, times are whole seconds since 1970, addresses are `ipaddress`
objects. Nothing here prints a secret: what is one is left out of `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = [
    "Account",
    "Authorization",
    "Client",
    "Conditions",
    "Device",
    "Filter",
    "Gateway",
    "Group",
    "IpAddress",
    "IpNetwork",
    "IpStack",
    "Policy",
    "Resource",
    "ResourceKind",
    "Role",
    "Site",
    "TimeWindow",
    "Token",
    "TokenKind",
    "User",
]

IpAddress: TypeAlias = "IPv4Address | IPv6Address"
IpNetwork: TypeAlias = "IPv4Network | IPv6Network"
IpStack: TypeAlias = Literal["dual", "ipv4_only", "ipv6_only"]


class Role(StrEnum):
    """What a user may do at the portal itself; what they may reach is said by policies alone."""

    ADMIN = "admin"
    """Reads and changes everything of the account."""
    VIEWER = "viewer"
    """Reads everything of the account but secrets."""
    MEMBER = "member"
    """Nothing at the portal: signs Clients in."""


class TokenKind(StrEnum):
    """What a token is for; a token of one kind is none of another."""

    CLIENT = "client"
    GATEWAY = "gateway"
    RELAY = "relay"
    API = "api"
    PAGE = "page"
    """Somebody who has signed in at the page; it is made by signing in alone."""


class ResourceKind(StrEnum):
    """What a resource covers; `ip` is a single address, told to Clients as a network of one."""

    DNS = "dns"
    CIDR = "cidr"
    IP = "ip"
    INTERNET = "internet"


@dataclass(frozen=True, slots=True)
class Account:
    """An organisation; everything else belongs to exactly one, but relays.

    Args:
        id: Its id.
        slug: Its name in URLs and in a Gateway's `init`.
        name: What people call it.
        search_domain: The domain that Clients complete short names with.
        upstream_dns: Addresses of the DNS servers that Clients use for other names; none means
            their system's.
        ingest_key: What flow-log tokens are signed with.
    """

    id: str
    slug: str
    name: str
    search_domain: str | None = None
    upstream_dns: tuple[IpAddress, ...] = ()
    ingest_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class User:
    """A person, or a program that acts like one.

    Args:
        id: Its id.
        name: What people call them.
        email: Unique in the account, lower case.
        role: What they may do at the portal.
        disabled_at: Since when they may nothing.
        created_at: When they were made.
        has_password: Whether they can sign in at the page.
    """

    id: str
    name: str
    email: str
    role: Role
    disabled_at: int | None = None
    created_at: int = 0
    has_password: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Users that policies speak of together.

    Args:
        id: Its id.
        name: Unique in the account.
        is_everyone: Whether every user is in it, by the portal's own doing.
        created_at: When it was made.
    """

    id: str
    name: str
    is_everyone: bool = False
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """A network behind Gateways that are equal to each other.

    Args:
        id: Its id.
        name: Unique in the account.
        created_at: When it was made.
    """

    id: str
    name: str
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A Client or a Gateway, the same over all its sessions (signaling §2.5).

    Args:
        id: Its id.
        account_id: Whose it is.
        kind: Which of the two.
        external_id: What it calls itself.
        name: What people call it.
        ipv4: Its tunnel address.
        ipv6: Its tunnel address.
        user_id: Whose Client it is.
        site_id: Which site's Gateway it is.
        psk_base: Its half of every preshared key.
        public_key: Of its last session, base64.
        version: Of its last session, like `1.5.12`.
        user_agent: Of its last session.
        remote_ip: Where its last session came from.
        last_seen_at: When its last session began or was last known to be there.
        verified_at: Since when an administrator vouches for a Client.
        created_at: When it was first seen.
        online: Whether it has a session now.
    """

    id: str
    account_id: str
    kind: Literal[TokenKind.CLIENT, TokenKind.GATEWAY]
    external_id: str
    name: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    user_id: str | None = None
    site_id: str | None = None
    psk_base: bytes = field(default=b"", repr=False)
    public_key: str | None = None
    version: str | None = None
    user_agent: str | None = None
    remote_ip: str | None = None
    last_seen_at: int | None = None
    verified_at: int | None = None
    created_at: int = 0
    online: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """What policies ask of a Client.

    Args:
        id: The device's id.
        user_id: Whose it is.
        remote_ip: Where its session comes from.
        is_verified: Whether an administrator vouches for it.
    """

    id: str
    user_id: str
    remote_ip: IpAddress | None
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Gateway:
    """What choosing a Gateway asks of one that is online.

    Args:
        id: The device's id.
        site_id: Its site.
        version: Like `1.6.1`; None if it did not tell one.
    """

    id: str
    site_id: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Traffic that a resource lets pass (signaling §5.3).

    Args:
        protocol: Of what.
        first: The first port; for tcp and udp.
        last: The last port, included.
    """

    protocol: Literal["tcp", "udp", "icmp"]
    first: int = 0
    last: int = 65535


@dataclass(frozen=True, slots=True)
class Resource:
    """Names, a network or the internet, reached through a site.

    Args:
        id: Its id.
        kind: What it covers.
        name: What people call it.
        address: Its pattern, network or address; empty for the internet.
        description: What Clients show instead of the address.
        ip_stack: Which addresses a name gets.
        filters: What passes; none means everything.
        site: Through which site; without one no Client sees it.
        created_at: When it was made.
    """

    id: str
    kind: ResourceKind
    name: str
    address: str
    description: str | None = None
    ip_stack: IpStack = "dual"
    filters: tuple[Filter, ...] = ()
    site: Site | None = None
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Hours of a day, in a time zone.

    Args:
        days: 0 is Monday.
        start: Minutes after midnight.
        end: Minutes after midnight, at most 1440, more than `start`.
        timezone: An IANA name.
    """

    days: frozenset[int]
    start: int
    end: int
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold for a policy to apply; what is empty or false asks nothing.

    Args:
        time_windows: One of these is now.
        remote_ip: The Client's session comes from one of these networks.
        client_verified: An administrator vouches for the Client.
    """

    time_windows: tuple[TimeWindow, ...] = ()
    remote_ip: tuple[IpNetwork, ...] = ()
    client_verified: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A group may reach a resource, if the conditions hold.

    Args:
        id: Its id.
        group_id: Who.
        resource_id: What.
        conditions: When.
        description: Why.
        disabled_at: Since when it grants nothing.
        created_at: When it was made.
    """

    id: str
    group_id: str
    resource_id: str
    conditions: Conditions = field(default_factory=Conditions)
    description: str | None = None
    disabled_at: int | None = None
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; the token itself is shown once and never kept.

    Args:
        id: Its id.
        kind: What it is for.
        name: What people call it.
        account_id: Whose; a relay's has none.
        user_id: Who acts by a Client's or an API token.
        site_id: Whose Gateways sign in with it.
        device_id: The one Gateway that may, if it is for one.
        scopes: `read` and `write`, of an API token.
        expires_at: When it ends; None is never.
        revoked_at: Since when it is none.
        last_used_at: When somebody last came with it.
        created_at: When it was made.
    """

    id: str
    kind: TokenKind
    name: str
    account_id: str | None
    user_id: str | None = None
    site_id: str | None = None
    device_id: str | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Authorization:
    """A Client may reach a resource through a Gateway until a time (signaling §7.7).

    Args:
        id: Its id, which is also the unguessable `ref` of `create_authorization`.
        account_id: Whose.
        client_id: Who.
        user_id: Whose Client it is.
        gateway_id: Through which.
        resource_id: What.
        policy_id: By which policy.
        group_id: By membership in which group.
        token_id: The Client's token.
        needs_verified: Whether the policy asks for a verified Client.
        expires_at: When the Gateway ends it.
        created_at: When it was granted.
        confirmed_at: When the Gateway acknowledged it; None is not yet.
    """

    id: str
    account_id: str
    client_id: str
    user_id: str
    gateway_id: str
    resource_id: str
    policy_id: str
    group_id: str
    token_id: str
    needs_verified: bool
    expires_at: int
    created_at: int = 0
    confirmed_at: int | None = None
