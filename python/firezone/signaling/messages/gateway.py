"""What a portal and a Gateway say to each other."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import StrictBool, StrictStr

from .ingest_token import IngestToken
from .message import Message, Part
from .resources import GatewayResource
from .shared import (
    Authorization,
    FlowLogsConfig,
    GatewayConfig,
    GatewayInterface,
    IceCredentials,
    Relay,
)
from .wire import Ipv4, Ipv6, Key, Lenient, LenientList, SecretKey, UnixSeconds

__all__ = [
    "AuthorizedClient",
    "CreateAuthorization",
    "GatewayAuthorizationCreated",
    "GatewayInit",
    "ResourceUpdated",
]


class GatewayInit(Message):
    """All that a Gateway has to know, after each join.

    Args:
        interface: Its addresses.
        config: Required, and without effect.
        relays: Added to those that it has.
        authorizations: All that it lets pass; what is missing is taken away at once.
        account_slug: The account's short name.
        flow_logs: Older portals do not say it.
    """

    event: ClassVar = "init"
    sent: ClassVar = frozenset(("flow_logs",))

    interface: GatewayInterface
    config: GatewayConfig
    relays: LenientList[Relay] = ()
    authorizations: LenientList[Authorization] = ()
    account_slug: Lenient[StrictStr | None] = None
    flow_logs: Lenient[FlowLogsConfig | None] = None


class AuthorizedClient(Part):
    """A Client as a Gateway is told of it."""

    id: UUID
    public_key: Key
    preshared_key: SecretKey
    ipv4: Ipv4
    ipv6: Ipv6


class CreateAuthorization(Message):
    """Let a Client reach a resource.

    Args:
        ref: Said again when it is done.
        expires_at: None lasts until it is taken away. A wrong one refuses the message: it must
            not last for ever.
        use_iceless: Must be what the Client is told.
        flow_logs_ingest_token: Older portals do not say it.
    """

    event: ClassVar = "create_authorization"
    sent: ClassVar = frozenset(("flow_logs_ingest_token",))

    ref: StrictStr
    client: AuthorizedClient
    resource: GatewayResource
    client_ice_credentials: IceCredentials
    gateway_ice_credentials: IceCredentials
    expires_at: UnixSeconds | None = None
    use_iceless: Lenient[StrictBool] = False
    flow_logs_ingest_token: IngestToken = None


class GatewayAuthorizationCreated(Message):
    """A Gateway lets a Client reach a resource from now on."""

    event: ClassVar = "authorization_created"

    ref: StrictStr


class ResourceUpdated(Message):
    """The filters or the name of a resource have changed. It is the whole payload."""

    event: ClassVar = "resource_updated"
    bare: ClassVar = "resource"

    resource: GatewayResource
