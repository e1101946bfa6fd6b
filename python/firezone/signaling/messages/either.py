"""What a portal says to Clients and Gateways alike, and what both say to it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import BeforeValidator, StrictBool, StrictStr, ValidationInfo, model_validator

from .message import Message
from .shared import Relay
from .wire import Lenient, Reading, UnixSeconds

__all__ = [
    "AccessAuthorizationExpiryUpdated",
    "Disconnect",
    "NoRelays",
    "RejectAccess",
    "RelaysPresence",
    "SetSnownetCapabilities",
]


def _known_reason(value: object, info: ValidationInfo) -> object:
    # Firezone's components know this one alone; whatever else a portal says, it then closes.
    if not isinstance(info.context, Reading) and value != "token_expired":
        raise ValueError("peers know token_expired alone")
    return value


class Disconnect(Message):
    """The session is over: sign in anew."""

    event: ClassVar = "disconnect"

    reason: Annotated[StrictStr, BeforeValidator(_known_reason)]


class RelaysPresence(Message):
    """Relays that are gone, and relays to add or to replace; all others stay."""

    event: ClassVar = "relays_presence"

    disconnected_ids: tuple[UUID, ...]
    connected: tuple[Relay, ...]


class RejectAccess(Message):
    """A Client's access to a resource is taken away."""

    event: ClassVar = "reject_access"

    client_id: UUID
    resource_id: UUID


class AccessAuthorizationExpiryUpdated(Message):
    """Obsolete: read, and without effect."""

    event: ClassVar = "access_authorization_expiry_updated"

    client_id: Lenient[UUID | None] = None
    resource_id: Lenient[UUID | None] = None
    expires_at: Lenient[UnixSeconds | None] = None


class SetSnownetCapabilities(Message):
    """What a component's connections can do; without it, ICE alone."""

    event: ClassVar = "set_snownet_capabilities"

    iceless: Lenient[StrictBool] = False


class NoRelays(Message):
    """A component has no usable Relay and wants some. Nothing in the payload counts."""

    event: ClassVar = "no_relays"

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return value if isinstance(value, cls) else {}
