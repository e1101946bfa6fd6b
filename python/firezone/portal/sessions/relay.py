"""A Relay's session."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from firezone.portal.events import EVERYBODY, token_topic
from firezone.signaling import messages as say

from .session import Close, ComponentSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.websockets import WebSocket

    from firezone.portal.interface import Identity

    from .session import Surroundings

__all__ = ["RelaySession"]


class RelaySession(ComponentSession):
    """A Relay at its socket. Its id follows from the secret that it joins with.

    Args:
        websocket: Accepted.
        around: What there is.
        identity: By which token it came.
        addresses: Where Clients and Gateways reach it.
        present: The session of each Relay in this process.
    """

    role: ClassVar = "relay"

    def __init__(
        self,
        websocket: WebSocket,
        around: Surroundings,
        identity: Identity,
        addresses: Sequence[str],
        present: dict[str, RelaySession],
    ) -> None:
        super().__init__(websocket, around, identity)
        self._addresses = addresses
        self._present = present
        self._id: str | None = None

    def topics(self) -> tuple[str, ...]:
        """Return what the session listens to."""
        return (token_topic(self.identity.token.id), EVERYBODY)

    async def joined(self, relay: say.RelayJoin | None) -> None:
        """Let Clients and Gateways have the Relay, and tell it so."""
        if relay is None:
            raise Close
        secret = relay.stamp_secret.get_secret_value()
        self._id = await self.store.join_relay(
            self.identity, secret, self._addresses, self.around.now()
        )
        self._present[self._id] = self
        self.say(say.RelayInit())

    async def left(self) -> None:
        """Take the Relay away, if the same one has not come again."""
        if self._id is not None and self._present.get(self._id) is self:
            del self._present[self._id]
            await self.store.leave_relay(self._id, self.around.now())
