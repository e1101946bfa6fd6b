"""A Gateway's session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from firezone.portal.events import (
    AccessRejected,
    AuthorizationRequested,
    Candidates,
    RelaysChanged,
    ResourceUpdated,
)
from firezone.signaling import messages as say

from . import telling
from .relay_list import RelayList
from .session import ComponentSession

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.websockets import WebSocket

    from firezone.portal.events import Event
    from firezone.portal.interface import Session

    from .session import Surroundings

__all__ = ["GatewaySession"]


class GatewaySession(ComponentSession):
    """A Gateway at its socket.

    Args:
        websocket: Accepted.
        around: What there is.
        session: The session that the store began.
    """

    role: ClassVar = "gateway"

    def __init__(self, websocket: WebSocket, around: Surroundings, session: Session) -> None:
        super().__init__(websocket, around, session.identity)
        self._session = session
        self._relays = RelayList()

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._session.id

    def topics(self) -> tuple[str, ...]:
        """Return what the session listens to."""
        return self._session.topics

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
                relays=self._relays.given(await self.store.relays(self._session, now)),
                account_slug=account.slug,
                authorizations=tuple(map(telling.authorization, held)),
                flow_logs=telling.flow_logs(self.around.origin),
            )
        )

    async def left(self) -> None:
        """Tell the store that the Gateway is gone."""
        await self.store.leave(self._session, self.around.now())

    def next_due(self) -> float:
        """Return when Relays are to be looked at."""
        return self._relays.due

    async def time_passed(self, now: float) -> None:
        """Look at the Relays."""
        if now >= self._relays.due:
            found = await self.store.relays(self._session, self.around.now())
            if (presence := self._relays.difference(found)) is not None:
                self.say(presence)

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
            case say.NoRelays():
                found = await self.store.relays(self._session, self.around.now())
                connected = self._relays.given(found)
                self.say(say.RelaysPresence(disconnected_ids=(), connected=connected))
            case say.SetSnownetCapabilities(iceless=iceless):
                await self.store.set_iceless(self._session, iceless=iceless)
            case _:
                return

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
            case RelaysChanged():
                self._relays.changed(time.monotonic())
            case _:
                return

    async def _carry(
        self, clients: Iterable[UUID], candidates: tuple[str, ...], *, gone: bool
    ) -> None:
        for client in map(str, clients):
            if await self.store.may_signal(self._session, client, self.around.now()):
                own = self._session.device.id
                await self.store.bus.publish(Candidates(client, own, candidates, gone))
