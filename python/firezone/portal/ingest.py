"""The flow-log token that every authorization carries (signaling §5.11).

Both sides check its form strictly and nothing else: without a proper one the whole authorization is
lost. Uploads are off, so nobody ever shows it to us again.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import jwt

if TYPE_CHECKING:
    from .model import Authorization, Resource, User

__all__ = ["Flow", "ingest_token"]

_KEPT_AFTER_EXPIRY: Final = 30 * 24 * 3600
"""Seconds that a token outlives its authorization: what was logged may be sent later."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What a token tells of an authorization.

    Args:
        authorization: Which.
        resource: What is reached.
        user: Whose Client it is.
        client_version: Of the Client's session.
    """

    authorization: Authorization
    resource: Resource
    user: User
    client_version: str | None = None


def ingest_token(flow: Flow, role: Literal["initiator", "responder"], key: bytes) -> str:
    """Return the token for one side.

    Args:
        flow: What it tells.
        role: `initiator` for the Client, `responder` for the Gateway.
        key: The account's.
    """
    granted = flow.authorization
    claims: dict[str, object] = {
        "account_id": granted.account_id,
        "initiator_device_id": granted.client_id,
        "responder_device_id": granted.gateway_id,
        "policy_authorization_id": granted.id,
        "policy_id": granted.policy_id,
        "resource_id": granted.resource_id,
        "resource_name": flow.resource.name,
        "initiator_actor_id": flow.user.id,
        "initiator_actor_name": flow.user.name,
        "authorized_at": _iso(granted.created_at),
        "authorization_expires_at": _iso(granted.expires_at),
        "iat": granted.created_at,
        "exp": granted.expires_at + _KEPT_AFTER_EXPIRY,
        "uploads_enabled": False,
        "role": role,
        "initiator_actor_email": flow.user.email,
    }
    if flow.resource.address:
        claims["resource_address"] = flow.resource.address
    if flow.client_version is not None:
        claims["initiator_client_version"] = flow.client_version
    return jwt.encode(claims, key, algorithm="HS256")


def _iso(moment: int) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat().replace("+00:00", "Z")
