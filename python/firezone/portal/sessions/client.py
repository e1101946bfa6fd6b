"""A Client's session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from firezone.portal.events import (
    AuthorizationConfirmed,
    Candidates,
    ConfigChanged,
    ViewChanged,
)
from firezone.portal.interface import Refused
from firezone.signaling import messages as say

from . import telling
from .device import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.websockets import WebSocket

    from firezone.portal.events import Event
    from firezone.portal.interface import Session

    from .session import Surroundings

__all__ = ["ClientSession"]

AUTHORIZATION_PATIENCE: Final = 15.0
"""Seconds that a Gateway has to acknowledge an authorization."""


class ClientSession(DeviceSession):
    """A Client at its socket.

    Args:
        websocket: Accepted.
        around: What there is.
        session: The session that the store began.
    """

    role: ClassVar = "client"

    def __init__(self, websocket: WebSocket, around: Surroundings, session: Session) -> None:
        super().__init__(websocket, around, session)
        self._seen: dict[str, say.ClientResource] = {}
        self._pending: dict[str, tuple[str, float]] = {}
        """Resource to the `ref` that a Gateway has to acknowledge, and until when."""
        self._granted: dict[str, str] = {}
        """Resource to the `ref` that the Client was told of."""

    async def joined(self, relay: say.RelayJoin | None) -> None:
        """Register the session and send `init`."""
        del relay
        await self.store.join(self._session, self.around.now())
        await self._init()

    def next_due(self) -> float:
        """Return when something is due."""
        waiting = (until for _, until in self._pending.values())
        return min([super().next_due(), *waiting])

    async def time_passed(self, now: float) -> None:
        """Give up Gateways that do not answer, and look at the Relays."""
        for resource, (_, until) in list(self._pending.items()):
            if now >= until:
                del self._pending[resource]
                self._fail(resource, "offline")
        await super().time_passed(now)

    async def heard(self, message: say.Message, ref: Any) -> None:
        """Do what the Client asks for."""
        match message:
            case say.RequestAuthorization():
                await self._request(message)
            case say.NewGatewayIceCandidates() | say.InvalidateGatewayIceCandidates():
                gone = isinstance(message, say.InvalidateGatewayIceCandidates)
                await self._carry([message.gateway_id], message.candidates, gone=gone)
            case say.LegacyIceCandidates() | say.LegacyInvalidatedIceCandidates():
                gone = isinstance(message, say.LegacyInvalidatedIceCandidates)
                await self._carry(message.gateway_ids, message.candidates, gone=gone)
            case say.ResolveDevicePoolDomain(resource_id=resource, domain=domain):
                self.say(
                    say.DevicePoolDomainResolutionFailed(
                        resource_id=resource, domain=domain, reason="not_found"
                    )
                )
            case _:
                # What is of Clients that reach Clients, which this portal has not, does nothing.
                await super().heard(message, ref)

    async def told(self, event: Event) -> None:
        """Do what follows from an event."""
        match event:
            case ViewChanged(reset=reset):
                await self._look(reset)
            case ConfigChanged():
                account = await self.store.account(self._session)
                self.say(
                    say.ConfigChanged(interface=telling.interface(self._session.device, account))
                )
            case AuthorizationConfirmed(ref=ref):
                await self._confirmed(ref)
            case Candidates(sender=sender, candidates=candidates, invalidated=gone):
                kind = say.InvalidateIceCandidatesOfGateway if gone else say.IceCandidatesOfGateway
                self.say(kind(gateway_id=UUID(sender), candidates=candidates))
            case _:
                await super().told(event)

    async def missed(self) -> None:
        """Let the Client drop what it lost access to: `init` alone does not tell it that."""
        now = self.around.now()
        granted = list(self._granted.items())
        await self._look([at for at, ref in granted if await self.store.grant(ref, now) is None])

    async def _init(self) -> None:
        now = self.around.now()
        account = await self.store.account(self._session)
        await self._read_view(now)
        self.say(
            say.ClientInit(
                interface=telling.interface(self._session.device, account),
                resources=tuple(self._seen.values()),
                relays=await self._given_relays(),
                flow_logs=telling.flow_logs(self.around.origin),
            )
        )

    async def _read_view(self, now: int) -> None:
        found = await self.store.view(self._session, now)
        self._seen = {one.id: telling.client_resource(one) for one in found}

    async def _look(self, reset: Iterable[str]) -> None:
        """Tell what has changed for the Client: first what is gone, then what is there.

        Args:
            reset: Resources to which access ended. A Client does not notice that by itself, so that
                it is told to drop what it still sees, and then of it again.
        """
        if not self.channel.is_joined:
            return
        before, ended = self._seen, set(reset)
        await self._read_view(self.around.now())
        for resource in ended - self._seen.keys():
            self._granted.pop(resource, None)
        gone = [resource for resource in before if resource not in self._seen or resource in ended]
        for resource in gone:
            self._granted.pop(resource, None)
            self.say(say.ResourceDeleted(id=UUID(resource)))
        for resource, told in self._seen.items():
            if resource in ended or before.get(resource) != told:
                self.say(say.ResourceCreatedOrUpdated(resource=told))

    async def _request(self, message: say.RequestAuthorization) -> None:
        resource = str(message.resource_id)
        if resource in self._pending:
            # It is asked for again as long as packets come; the answer is on its way.
            return
        connected = list(map(str, message.connected_gateway_ids))
        answer = await self.store.authorize(self._session, resource, connected, self.around.now())
        if isinstance(answer, Refused):
            self._fail(resource, answer.reason, answer.violated_properties)
        else:
            self._pending[resource] = (answer, time.monotonic() + AUTHORIZATION_PATIENCE)

    async def _confirmed(self, ref: str) -> None:
        wanted = [resource for resource, (one, _) in self._pending.items() if one == ref]
        grant = await self.store.grant(ref, self.around.now()) if wanted else None
        if grant is None or grant.authorization.confirmed_at is None or grant.resource.site is None:
            # An acknowledgement that came too late, or of an access that has ended since.
            return
        del self._pending[wanted[0]]
        self._granted[wanted[0]] = ref
        self.say(telling.client_grant(grant, grant.resource.site.id))

    def _fail(self, resource: str, reason: str, violated: tuple[str, ...] = ()) -> None:
        self.say(
            say.AuthorizationCreationFailed(
                resource_id=UUID(resource), reason=reason, violated_properties=violated
            )
        )
