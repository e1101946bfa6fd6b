"""Which messages there are, by who reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from . import candidates, client, devices, either, gateway, relay
from .message import Message, UnknownEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FROM_COMPONENT", "FROM_PORTAL", "Role", "read_from_component", "read_from_portal"]

Role = Literal["client", "gateway", "relay"]
"""A component, and the topic of its channel."""


def _by_event(*kinds: type[Message], **aliases: type[Message]) -> dict[str, type[Message]]:
    return {kind.event: kind for kind in kinds} | aliases


FROM_PORTAL: Final[Mapping[Role, Mapping[str, type[Message]]]] = {
    "client": _by_event(
        client.ClientInit,
        client.ConfigChanged,
        client.ResourceCreatedOrUpdated,
        client.ResourceDeleted,
        client.ClientAuthorizationCreated,
        client.AuthorizationCreationFailed,
        candidates.IceCandidatesOfGateway,
        candidates.InvalidateIceCandidatesOfGateway,
        candidates.ClientIceCandidates,
        candidates.InvalidateClientIceCandidates,
        candidates.ClientIceCandidateError,
        devices.DevicePoolDomainResolved,
        devices.DevicePoolDomainResolutionFailed,
        devices.ClientDeviceAccessAuthorized,
        devices.ClientDeviceAccessDenied,
        devices.ResourceFiltersUpdated,
        either.RelaysPresence,
        either.RejectAccess,
        either.AccessAuthorizationExpiryUpdated,
        either.Disconnect,
        gateway_ice_candidates=candidates.IceCandidatesOfGateway,
        invalidate_gateway_ice_candidates=candidates.InvalidateIceCandidatesOfGateway,
    ),
    "gateway": _by_event(
        gateway.GatewayInit,
        gateway.CreateAuthorization,
        gateway.ResourceUpdated,
        candidates.IceCandidatesOfClient,
        candidates.InvalidateIceCandidatesOfClient,
        either.RelaysPresence,
        either.RejectAccess,
        either.AccessAuthorizationExpiryUpdated,
        either.Disconnect,
    ),
    "relay": _by_event(relay.RelayInit, either.Disconnect),
}

FROM_COMPONENT: Final[Mapping[Role, Mapping[str, type[Message]]]] = {
    "client": _by_event(
        client.RequestAuthorization,
        candidates.NewGatewayIceCandidates,
        candidates.InvalidateGatewayIceCandidates,
        candidates.LegacyIceCandidates,
        candidates.LegacyInvalidatedIceCandidates,
        candidates.NewClientIceCandidates,
        candidates.InvalidateClientIceCandidates,
        devices.ResolveDevicePoolDomain,
        devices.RequestDeviceAccess,
        either.SetSnownetCapabilities,
        either.NoRelays,
    ),
    "gateway": _by_event(
        gateway.GatewayAuthorizationCreated,
        candidates.BroadcastIceCandidates,
        candidates.BroadcastInvalidatedIceCandidates,
        either.SetSnownetCapabilities,
        either.NoRelays,
    ),
    "relay": {},
}


def read_from_portal(
    role: Role, event: str, payload: Any, ignored: list[str] | None = None
) -> Message:
    """Read what a portal has sent.

    Args:
        role: Who reads.
        event: The event.
        payload: As JSON has it.
        ignored: Takes the places that were wrong and passed over.

    Raises:
        UnknownEvent: There is no such event.
        MessageRefused: A field that is required is missing or wrong.
    """
    return _read(FROM_PORTAL[role], event, payload, ignored)


def read_from_component(
    role: Role, event: str, payload: Any, ignored: list[str] | None = None
) -> Message:
    """Read what a component has sent; as `read_from_portal`.

    Args:
        role: Who has sent it.
        event: The event.
        payload: As JSON has it.
        ignored: Takes the places that were wrong and passed over.

    Raises:
        UnknownEvent: There is no such event.
        MessageRefused: A field that is required is missing or wrong.
    """
    return _read(FROM_COMPONENT[role], event, payload, ignored)


def _read(
    kinds: Mapping[str, type[Message]], event: str, payload: Any, ignored: list[str] | None
) -> Message:
    kind = kinds.get(event)
    if kind is None:
        raise UnknownEvent(event, "not known")
    return kind.read(payload, ignored)
