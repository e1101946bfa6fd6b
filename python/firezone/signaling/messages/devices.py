"""Clients that reach other Clients: read, so that such a portal is understood, and not used."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import StrictBool, StrictStr, model_validator

from .ingest_token import IngestToken
from .message import Message, Part
from .resources import Filters
from .shared import IceCredentials
from .wire import Ipv4, Ipv6, Key, Lenient, SecretKey, UnixSeconds

__all__ = [
    "ClientDeviceAccessAuthorized",
    "ClientDeviceAccessDenied",
    "DevicePoolDomainResolutionFailed",
    "DevicePoolDomainResolved",
    "PoolAccess",
    "RequestDeviceAccess",
    "ResolveDevicePoolDomain",
    "ResourceFiltersUpdated",
]


class ResolveDevicePoolDomain(Message):
    """Client to portal: which device has this name?"""

    event: ClassVar = "resolve_device_pool_domain"

    resource_id: UUID
    domain: StrictStr


class RequestDeviceAccess(Message):
    """Client to portal: obsolete, and without effect."""

    event: ClassVar = "request_device_access"

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return value if isinstance(value, cls) else {}


class DevicePoolDomainResolved(Message):
    """Portal to Client: a device has the name."""

    event: ClassVar = "device_pool_domain_resolved"

    resource_id: UUID
    domain: StrictStr
    ipv4: Ipv4
    ipv6: Ipv6


class DevicePoolDomainResolutionFailed(Message):
    """Portal to Client: no device has the name."""

    event: ClassVar = "device_pool_domain_resolution_failed"

    resource_id: UUID
    domain: StrictStr
    reason: StrictStr


class PoolAccess(Part):
    """The pool that an access is for."""

    id: UUID
    filters: Filters = ()


class ClientDeviceAccessAuthorized(Message):
    """Portal to both Clients: `client_*` is the other one."""

    event: ClassVar = "client_device_access_authorized"
    sent: ClassVar = frozenset(("flow_logs_ingest_token",))

    client_id: UUID
    client_name: StrictStr
    client_public_key: Key
    client_ipv4: Ipv4
    client_ipv6: Ipv6
    preshared_key: SecretKey
    local_ice_credentials: IceCredentials
    remote_ice_credentials: IceCredentials
    ice_role: Literal["controlling", "controlled"]
    use_iceless: Lenient[StrictBool] = False
    resource: PoolAccess | None = None
    expires_at: UnixSeconds | None = None
    flow_logs_ingest_token: IngestToken = None


class ClientDeviceAccessDenied(Message):
    """Portal to Client: no access to another Client, or not any more."""

    event: ClassVar = "client_device_access_denied"

    reason: StrictStr
    ipv4: Lenient[Ipv4 | None] = None
    ipv6: Lenient[Ipv6 | None] = None
    client_id: Lenient[UUID | None] = None
    resource_id: Lenient[UUID | None] = None


class ResourceFiltersUpdated(Message):
    """Portal to Client: the filters of all accesses to it for a resource."""

    event: ClassVar = "resource_filters_updated"

    id: UUID
    filters: Filters
