"""What a portal says to a Gateway, as commands to its core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from firezone.errors import ConfigError
from firezone.signaling.messages import (
    BroadcastIceCandidates,
    BroadcastInvalidatedIceCandidates,
    CreateAuthorization,
    GatewayAuthorizationCreated,
    GatewayInit,
    IceCandidatesOfClient,
    InvalidateIceCandidatesOfClient,
    RejectAccess,
    ResourceUpdated,
)

from .resources import ice_endpoint, of_gateway

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from firezone.signaling.messages import Message

__all__ = ["PortalGatewaySource"]

MOST_NAMES: Final = 4096
"""Resources whose names are known to the log; the oldest is forgotten."""


class PortalGatewaySource:
    """Says who may use what. It has no clock and no socket.

    Args:
        log: Where events go.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._names: dict[str, str] = {}

    def name_of(self, identity: str | None) -> str | None:
        """Return what the portal calls a resource; else the id."""
        return None if identity is None else self._names.get(identity, identity)

    def take(self, message: Message) -> list[dict[str, Any]]:
        """Take a message; return the commands that it means."""
        match message:
            case GatewayInit():
                return [_access(message)]
            case CreateAuthorization():
                return self._create(message)
            case RejectAccess(client_id=client, resource_id=resource):
                self._log.info(
                    "access taken away",
                    event_name="access.rejected",
                    client=str(client),
                    resource=str(resource),
                    resource_name=self.name_of(str(resource)),
                )
                return [{"type": "revoke", "client": str(client), "resource": str(resource)}]
            case ResourceUpdated():
                return self._update(message)
        return _carried(message)

    def told(self, event: Mapping[str, Any]) -> list[Message]:
        """Take an event of the core; return what the portal is told."""
        match event["type"]:
            case "authorization_created":
                return [GatewayAuthorizationCreated(ref=event["reference"])]
            case "local_candidates":
                client = event["client"]
                said: list[Message] = []
                if event["new"]:
                    new = BroadcastIceCandidates(client_ids=(client,), candidates=event["new"])
                    said.append(new)
                if event["invalidated"]:
                    gone = event["invalidated"]
                    said.append(
                        BroadcastInvalidatedIceCandidates(client_ids=(client,), candidates=gone)
                    )
                return said
        return []

    def _create(self, message: CreateAuthorization) -> list[dict[str, Any]]:
        client = message.client
        if message.use_iceless:
            # We said that we cannot; the portal gives up after 15 s and tells the Client.
            self._refuse(str(message.resource.id), "the portal wants a path without ICE")
            return []
        try:
            resource = self._known(of_gateway(message.resource))
        except ConfigError as error:
            self._refuse(str(message.resource.id), str(error))
            return []
        endpoint = ice_endpoint(
            client.public_key,
            client.preshared_key.get_secret_value(),
            local=message.gateway_ice_credentials,
            remote=message.client_ice_credentials,
        )
        peer = {
            "id": str(client.id),
            "ipv4": str(client.ipv4),
            "ipv6": str(client.ipv6),
            "endpoint": endpoint,
        }
        command: dict[str, Any] = {
            "type": "create_authorization",
            "reference": message.ref,
            "client": peer,
            "resource": resource,
        }
        if message.expires_at is not None:
            command["expires_at"] = message.expires_at
        self._log.info(
            "access given",
            event_name="access.given",
            client=peer["id"],
            resource=resource["id"],
            resource_name=resource["name"],
            expires_at=message.expires_at,
        )
        return [command]

    def _update(self, message: ResourceUpdated) -> list[dict[str, Any]]:
        try:
            resource = self._known(of_gateway(message.resource))
        except ConfigError as error:
            self._refuse(str(message.resource.id), str(error))
            return []
        return [{"type": "update_resource", "resource": resource}]

    def _known(self, resource: dict[str, Any]) -> dict[str, Any]:
        self._names.pop(resource["id"], None)
        self._names[resource["id"]] = resource["name"]
        if len(self._names) > MOST_NAMES:
            del self._names[next(iter(self._names))]
        return resource

    def _refuse(self, resource: str, reason: str) -> None:
        self._log.warning(
            "an access of the portal is not given",
            event_name="access.unusable",
            resource=resource,
            reason=reason,
        )


def _access(init: GatewayInit) -> dict[str, Any]:
    rows = [
        {
            "client": str(entry.client_id),
            "resource": str(entry.resource_id),
            "expires_at": entry.expires_at,
        }
        for entry in init.authorizations
    ]
    return {"type": "set_authorizations", "authorizations": rows}


def _carried(message: Message) -> list[dict[str, Any]]:
    """Return the commands of a message that carries a Client's candidates."""
    match message:
        case IceCandidatesOfClient(client_id=client, candidates=lines):
            return [_candidates("add", str(client), lines)]
        case InvalidateIceCandidatesOfClient(client_id=client, candidates=lines):
            return [_candidates("remove", str(client), lines)]
    return []


def _candidates(verb: str, client: str, lines: tuple[str, ...]) -> dict[str, Any]:
    return {"type": f"{verb}_remote_candidates", "client": client, "candidates": list(lines)}
