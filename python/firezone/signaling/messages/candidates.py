"""Addresses that a peer may be reached at, on their way through the portal.

Towards the portal a message names who is meant, away from it who has sent it. The portal does not
look into candidates; a component passes over those that it cannot read, one by one.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import StrictStr

from .message import Message
from .wire import Candidates

__all__ = [
    "BroadcastIceCandidates",
    "BroadcastInvalidatedIceCandidates",
    "ClientIceCandidateError",
    "ClientIceCandidates",
    "IceCandidatesOfClient",
    "IceCandidatesOfGateway",
    "InvalidateClientIceCandidates",
    "InvalidateGatewayIceCandidates",
    "InvalidateIceCandidatesOfClient",
    "InvalidateIceCandidatesOfGateway",
    "LegacyIceCandidates",
    "LegacyInvalidatedIceCandidates",
    "NewClientIceCandidates",
    "NewGatewayIceCandidates",
]


class _ToGateway(Message):
    gateway_id: UUID
    candidates: tuple[StrictStr, ...]


class _ToClient(Message):
    client_id: UUID
    candidates: tuple[StrictStr, ...]


class _ToClients(Message):
    client_ids: tuple[UUID, ...]
    candidates: tuple[StrictStr, ...]


class _ToGateways(Message):
    gateway_ids: tuple[UUID, ...]
    candidates: tuple[StrictStr, ...]


class _OfGateway(Message):
    gateway_id: UUID
    candidates: Candidates


class _OfClient(Message):
    client_id: UUID
    candidates: Candidates


class NewGatewayIceCandidates(_ToGateway):
    """Client to portal: for a Gateway."""

    event: ClassVar = "new_gateway_ice_candidates"


class InvalidateGatewayIceCandidates(_ToGateway):
    """Client to portal: a Gateway must not use these any more."""

    event: ClassVar = "invalidate_gateway_ice_candidates"


class LegacyIceCandidates(_ToGateways):
    """Client to portal, older: for several Gateways."""

    event: ClassVar = "broadcast_ice_candidates"


class LegacyInvalidatedIceCandidates(_ToGateways):
    """Client to portal, older: several Gateways must not use these any more."""

    event: ClassVar = "broadcast_invalidated_ice_candidates"


class IceCandidatesOfGateway(_OfGateway):
    """Portal to Client: of a Gateway."""

    event: ClassVar = "ice_candidates"


class InvalidateIceCandidatesOfGateway(_OfGateway):
    """Portal to Client: a Gateway cannot be reached at these any more."""

    event: ClassVar = "invalidate_ice_candidates"


class BroadcastIceCandidates(_ToClients):
    """Gateway to portal: for Clients."""

    event: ClassVar = "broadcast_ice_candidates"


class BroadcastInvalidatedIceCandidates(_ToClients):
    """Gateway to portal: Clients must not use these any more."""

    event: ClassVar = "broadcast_invalidated_ice_candidates"


class IceCandidatesOfClient(_OfClient):
    """Portal to Gateway: of a Client."""

    event: ClassVar = "ice_candidates"


class InvalidateIceCandidatesOfClient(_OfClient):
    """Portal to Gateway: a Client cannot be reached at these any more."""

    event: ClassVar = "invalidate_ice_candidates"


class NewClientIceCandidates(_ToClient):
    """Client to portal: for another Client."""

    event: ClassVar = "new_client_ice_candidates"


class ClientIceCandidates(_OfClient):
    """Portal to Client: of another Client."""

    event: ClassVar = "client_ice_candidates"


class InvalidateClientIceCandidates(_ToClient):
    """Both ways: another Client, or its candidates that are not valid any more."""

    event: ClassVar = "invalidate_client_ice_candidates"


class ClientIceCandidateError(Message):
    """Portal to Client: another Client could not be told."""

    event: ClassVar = "client_ice_candidate_error"

    client_id: UUID
    reason: StrictStr
