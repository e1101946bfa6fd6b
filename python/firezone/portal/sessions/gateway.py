"""A Gateway's session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from firezone.portal.events import (
    AccessRejected,
    AuthorizationRequested,
    Candidates,
    ResourceUpdated,
)
from firezone.signaling import messages as say

from . import telling
from .device import DeviceSession

if TYPE_CHECKING:
    from firezone.portal.events import Event


__all__ = ["GatewaySession"]


class GatewaySession(DeviceSession):
    """A Gateway at its socket.

    Args:
        websocket: Accepted.
        around: What there is.
        session: The session that the store began.
    """

    role: ClassVar = "gateway"

    async def joined(self, relay: say.RelayJoin | None) -> None:
        """Register the session and send `init`, before any authorization."""
        del relay
        now = self.around.now()
        await self.store.join(self._session, now)
        account = await self.store.account(self._session)
        held = await self.store.authorizations_of(self._session, now)
        self.say(
            say.GatewayInit(
                interface=telling.gateway_interface(self._session.device),
                config=say.GatewayConfig(
                    ipv4_masquerade_enabled=True, ipv6_masquerade_enabled=True
                ),
                relays=await self._given_relays(),
                account_slug=account.slug,
                authorizations=tuple(map(telling.authorization, held)),
                flow_logs=telling.flow_logs(self.around.origin),
            )
        )

    async def heard(self, message: say.Message, ref: Any) -> None:
        """Do what the Gateway asks for."""
        match message:
            case say.GatewayAuthorizationCreated(ref=granted):
                if await self.store.confirm(self._session, granted, self.around.now()):
                    self.channel.confirm(ref)
                else:
                    self.channel.complain(ref, "invalid_ref")
            case say.BroadcastIceCandidates(client_ids=clients, candidates=candidates):
                await self._carry(clients, candidates, gone=False)
            case say.BroadcastInvalidatedIceCandidates(client_ids=clients, candidates=candidates):
                await self._carry(clients, candidates, gone=True)
            case _:
                await super().heard(message, ref)

    async def told(self, event: Event) -> None:
        """Do what follows from an event."""
        match event:
            case AuthorizationRequested(ref=ref):
                grant = await self.store.grant(ref, self.around.now())
                if grant is not None:
                    self.say(telling.gateway_grant(grant))
            case AccessRejected(accesses=accesses):
                for client, resource in accesses:
                    self.say(say.RejectAccess(client_id=UUID(client), resource_id=UUID(resource)))
            case ResourceUpdated(resource=resource_id):
                found = await self.store.gateway_resource(self._session, resource_id)
                if found is not None:
                    self.say(say.ResourceUpdated(resource=telling.gateway_resource(found)))
            case Candidates(sender=sender, candidates=candidates, invalidated=gone):
                kind = say.InvalidateIceCandidatesOfClient if gone else say.IceCandidatesOfClient
                self.say(kind(client_id=UUID(sender), candidates=candidates))
            case _:
                await super().told(event)
