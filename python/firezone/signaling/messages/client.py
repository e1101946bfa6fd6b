"""What a portal and a Client say to each other."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from pydantic import StrictBool, StrictStr, model_validator

from .ingest_token import IngestToken
from .message import Message
from .resources import ClientResource, ClientResources, renamed
from .shared import Authorization, FlowLogsConfig, IceCredentials, Interface, Relay
from .wire import Ipv4, Ipv6, Key, Lenient, LenientList, SecretKey

__all__ = [
    "AuthorizationCreationFailed",
    "ClientAuthorizationCreated",
    "ClientInit",
    "ConfigChanged",
    "RequestAuthorization",
    "ResourceCreatedOrUpdated",
    "ResourceDeleted",
]


class ClientInit(Message):
    """All that a Client has to know, after each join and whenever the portal likes.

    Args:
        interface: Its addresses and its resolver.
        resources: All that it may reach; what is missing is taken away.
        relays: Added to those that it has.
        authorizations: All other Clients that may reach it; what is missing is taken away.
        flow_logs: Older portals do not say it.
    """

    event: ClassVar = "init"
    sent: ClassVar = frozenset(("flow_logs",))

    interface: Interface
    resources: ClientResources = ()
    relays: LenientList[Relay] = ()
    authorizations: LenientList[Authorization] = ()
    flow_logs: Lenient[FlowLogsConfig | None] = None


class ConfigChanged(Message):
    """The interface of a Client has changed."""

    event: ClassVar = "config_changed"

    interface: Interface


class ResourceCreatedOrUpdated(Message):
    """A resource is new, or other than it was. It is the whole payload."""

    event: ClassVar = "resource_created_or_updated"
    bare: ClassVar = "resource"

    resource: ClientResource


class ResourceDeleted(Message):
    """A resource is gone. Its id is the whole payload."""

    event: ClassVar = "resource_deleted"
    bare: ClassVar = "id"

    id: UUID


class RequestAuthorization(Message):
    """A Client wants to reach a resource.

    Args:
        resource_id: Which.
        connected_gateway_ids: The Gateways that it has, the most wanted first.
        ipv4: For pools of devices: the device's address, or `ipv6` has it.
    """

    event: ClassVar = "request_authorization"

    resource_id: UUID
    connected_gateway_ids: Lenient[tuple[UUID, ...]] = ()
    ipv4: Lenient[Ipv4 | None] = None
    ipv6: Lenient[Ipv6 | None] = None


class ClientAuthorizationCreated(Message):
    """A Client may reach a resource through a Gateway, and how.

    Args:
        site_id: Older portals say `gateway_group_id`.
        use_iceless: Must be what the Gateway was told.
        flow_logs_ingest_token: Older portals do not say it.
    """

    event: ClassVar = "authorization_created"
    sent: ClassVar = frozenset(("flow_logs_ingest_token",))

    resource_id: UUID
    gateway_id: UUID
    gateway_public_key: Key
    gateway_ipv4: Ipv4
    gateway_ipv6: Ipv6
    site_id: UUID
    preshared_key: SecretKey
    client_ice_credentials: IceCredentials
    gateway_ice_credentials: IceCredentials
    use_iceless: Lenient[StrictBool] = False
    flow_logs_ingest_token: IngestToken = None

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, value: Any) -> Any:
        return renamed(value, "gateway_group_id", "site_id")


class AuthorizationCreationFailed(Message):
    """A Client may not reach a resource, or cannot now.

    Args:
        reason: `offline`, `version_mismatch`, `not_found`, `forbidden` or another one.
        violated_properties: Which conditions of policies were not met.
    """

    event: ClassVar = "authorization_creation_failed"

    resource_id: UUID
    reason: StrictStr
    violated_properties: Lenient[tuple[StrictStr, ...]] = ()
