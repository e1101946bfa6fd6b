"""What sessions of Clients and Gateways have in common: a device, its Relays and candidates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from firezone.portal.events import Candidates, RelaysChanged
from firezone.signaling import messages as say

from .relay_list import RelayList
from .session import ComponentSession

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from starlette.websockets import WebSocket

    from firezone.portal.events import Event
    from firezone.portal.interface import Session

    from .session import Surroundings

__all__ = ["DeviceSession"]


class DeviceSession(ComponentSession):
    """A device at its socket.

    Args:
        websocket: Accepted.
        around: What there is.
        session: The session that the store began.
    """

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

    async def left(self) -> None:
        """Tell the store that the device is gone."""
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
        """Do what every device may ask for."""
        del ref
        match message:
            case say.NoRelays():
                connected = await self._given_relays()
                self.say(say.RelaysPresence(disconnected_ids=(), connected=connected))
            case say.SetSnownetCapabilities(iceless=iceless):
                await self.store.set_iceless(self._session, iceless=iceless)

    async def told(self, event: Event) -> None:
        """Do what follows for every device."""
        if isinstance(event, RelaysChanged):
            self._relays.changed(time.monotonic())

    async def _given_relays(self) -> tuple[say.Relay, ...]:
        return self._relays.given(await self.store.relays(self._session, self.around.now()))

    async def _carry(
        self, peers: Iterable[UUID], candidates: tuple[str, ...], *, gone: bool
    ) -> None:
        """Carry candidates to those with whom the device may signal."""
        for peer in map(str, peers):
            if await self.store.may_signal(self._session, peer, self.around.now()):
                own = self._session.device.id
                await self.store.bus.publish(Candidates(peer, own, candidates, gone))
