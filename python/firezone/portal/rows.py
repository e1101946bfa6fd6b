"""Rows of the database as records, and back."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from .addresses import addresses
from .model import (
    Account,
    Authorization,
    Client,
    Conditions,
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

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

__all__ = [
    "account_of",
    "authorization_of",
    "client_of",
    "conditions_of",
    "device_of",
    "group_of",
    "json_of_conditions",
    "json_of_filters",
    "policy_of",
    "resource_of",
    "site_of",
    "token_of",
    "user_of",
]


def account_of(row: Row[Any]) -> Account:
    """Return an account."""
    return Account(
        row.id,
        row.slug,
        row.name,
        row.search_domain,
        tuple(map(ip_address, row.upstream_dns)),
        row.ingest_key,
    )


def user_of(row: Row[Any]) -> User:
    """Return a user."""
    return User(
        row.id,
        row.name,
        row.email,
        Role(row.role),
        row.disabled_at,
        row.created_at,
        row.password_hash is not None,
    )


def group_of(row: Row[Any]) -> Group:
    """Return a group."""
    return Group(row.id, row.name, row.is_everyone, row.created_at)


def site_of(row: Row[Any]) -> Site:
    """Return a site."""
    return Site(row.id, row.name, row.created_at)


def device_of(row: Row[Any], *, online: bool = False) -> Device:
    """Return a Client or a Gateway."""
    ipv4, ipv6 = addresses(row.host)
    return Device(
        id=row.id,
        account_id=row.account_id,
        kind=TokenKind(row.kind),  # type: ignore[arg-type] # a constraint keeps it to the two
        external_id=row.external_id,
        name=row.name,
        ipv4=ipv4,
        ipv6=ipv6,
        user_id=row.user_id,
        site_id=row.site_id,
        psk_base=row.psk_base,
        public_key=row.public_key,
        version=row.version,
        user_agent=row.user_agent,
        remote_ip=row.remote_ip,
        last_seen_at=row.last_seen_at,
        verified_at=row.verified_at,
        created_at=row.created_at,
        online=online,
    )


def client_of(row: Row[Any], remote_ip: str | None) -> Client:
    """Return what policies ask of a Client.

    Args:
        row: The device's.
        remote_ip: Of its session.
    """
    origin = ip_address(remote_ip) if remote_ip else None
    return Client(row.id, row.user_id, origin, row.verified_at is not None)


def resource_of(row: Row[Any], site: Site | None) -> Resource:
    """Return a resource, with its site."""
    return Resource(
        row.id,
        ResourceKind(row.kind),
        row.name,
        row.address,
        row.description,
        row.ip_stack,
        tuple(Filter(**given) for given in row.filters),
        site,
        row.created_at,
    )


def json_of_filters(filters: tuple[Filter, ...]) -> list[dict[str, Any]]:
    """Return filters as they are stored."""
    return [asdict(one) for one in filters]


def policy_of(row: Row[Any]) -> Policy:
    """Return a policy."""
    return Policy(
        row.id,
        row.group_id,
        row.resource_id,
        conditions_of(row.conditions),
        row.description,
        row.disabled_at,
        row.created_at,
    )


def conditions_of(given: dict[str, Any]) -> Conditions:
    """Return conditions as they were stored."""
    return Conditions(
        tuple(
            TimeWindow(frozenset(one["days"]), one["start"], one["end"], one["timezone"])
            for one in given["time_windows"]
        ),
        tuple(map(ip_network, given["remote_ip"])),
        given["client_verified"],
    )


def json_of_conditions(conditions: Conditions) -> dict[str, Any]:
    """Return conditions as they are stored and shown."""
    return {
        "time_windows": [
            {**asdict(one), "days": sorted(one.days)} for one in conditions.time_windows
        ],
        "remote_ip": [str(network) for network in conditions.remote_ip],
        "client_verified": conditions.client_verified,
    }


def token_of(row: Row[Any]) -> Token:
    """Return what is known of a token."""
    return Token(
        row.id,
        TokenKind(row.kind),
        row.name,
        row.account_id,
        row.user_id,
        row.site_id,
        row.device_id,
        frozenset(row.scopes),
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
        row.created_at,
    )


def authorization_of(row: Row[Any]) -> Authorization:
    """Return an authorization."""
    return Authorization(
        id=row.id,
        account_id=row.account_id,
        client_id=row.client_id,
        user_id=row.user_id,
        gateway_id=row.gateway_id,
        resource_id=row.resource_id,
        policy_id=row.policy_id,
        group_id=row.group_id,
        token_id=row.token_id,
        needs_verified=row.needs_verified,
        expires_at=row.expires_at,
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
    )
