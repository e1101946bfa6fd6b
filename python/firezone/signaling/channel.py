"""A component's half of its channel to the portal, without clock or socket.

One is made for each connection. It is told what arrives (`receive`) and that time has passed
(`handle_timer`, due at `deadline`); afterwards `frames` is sent, in order, and `events` acted on.
After `Lost`, `Refused` or `SignedOut` the connection is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import frames
from .frames import HEARTBEAT_TOPIC, Cut, Frame, FrameRefused
from .messages import Disconnect, Message, MessageRefused, RelayJoin, Role, read_from_portal

if TYPE_CHECKING:
    from .outbox import Outbox

__all__ = ["Channel", "Event", "Joined", "Lost", "Passed", "Received", "Refused", "SignedOut"]

HEARTBEAT_INTERVAL: Final = 10.0
"""Seconds between heartbeats, and to the first."""
MOST_UNANSWERED: Final = 4
"""Heartbeats after which the next one finds the connection dead."""
JOIN_PATIENCE: Final = 5.0
"""Seconds that a join may take."""
UNMATCHED_TOPIC: Final = "unmatched topic"


@dataclass(frozen=True, slots=True)
class Joined:
    """The portal knows us; what waited is sent now."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message.

    Args:
        message: The message.
        ignored: Places in it that were wrong and passed over.
    """

    message: Message
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """A frame that is passed over, for the log.

    Args:
        event: Its event, if it has one.
        problem: Why.
    """

    event: str
    problem: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is of no use any more; make another."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The portal does not let us join; trying again is of no use."""

    reason: str


@dataclass(frozen=True, slots=True)
class SignedOut:
    """The token is not valid any more; trying again is of no use."""


Event: TypeAlias = Joined | Received | Passed | Lost | Refused | SignedOut


class Channel:
    """One channel on one connection.

    Args:
        role: Who we are, which is the topic, too.
        outbox: What there is to say.
        now: Seconds of a clock that only goes forward; when the connection was made.
        join: What a Relay joins with.
    """

    def __init__(
        self, role: Role, outbox: Outbox, *, now: float, join: RelayJoin | None = None
    ) -> None:
        self._role = role
        self._outbox = outbox
        self._join_payload = None if join is None else join.payload()
        self._next_ref = 0
        self._out: list[str] = []
        self._events: list[Event] = []
        self._unanswered: list[int] = []
        self._next_heartbeat = now + HEARTBEAT_INTERVAL
        self._join_ref = 0
        self._join_deadline: float | None = None
        self._over = False
        self._join(now)

    @property
    def is_joined(self) -> bool:
        """Whether messages may be sent."""
        return self._join_deadline is None and not self._over

    def deadline(self) -> float:
        """Return when `handle_timer` is due, whatever arrives."""
        if self._join_deadline is None:
            return self._next_heartbeat
        return min(self._next_heartbeat, self._join_deadline)

    def frames(self) -> list[str]:
        """Return what is to be sent now; of the outbox only once joined."""
        if self.is_joined:
            for message in self._outbox.take():
                self._say(message)
        taken, self._out = self._out, []
        return taken

    def events(self) -> list[Event]:
        """Return what has happened since."""
        taken, self._events = self._events, []
        return taken

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._over:
            return
        if self._join_deadline is not None and now >= self._join_deadline:
            self._lose("the join was not answered")
        elif now >= self._next_heartbeat:
            self._heartbeat(now)

    def receive(self, text: str | bytes, now: float) -> None:
        """Take a frame's text."""
        if self._over:
            return
        try:
            frame = frames.read(text)
        except Cut as error:
            self._lose(str(error))
        except FrameRefused as error:
            self._events.append(Passed("", str(error)))
        else:
            self._take(frame, now)

    def _take(self, frame: Frame, now: float) -> None:
        match frame.event:
            case "phx_reply":
                self._take_reply(frame, now)
            case "phx_close":
                self._lose("the portal closed the channel")
            case "phx_error":
                # It closes the socket, too, if it means it.
                self._events.append(Passed(frame.event, "the channel failed at the portal"))
            case _:
                self._take_message(frame)

    def _take_message(self, frame: Frame) -> None:
        ignored: list[str] = []
        try:
            message = read_from_portal(self._role, frame.event, frame.payload, ignored)
        except MessageRefused as error:
            self._events.append(Passed(frame.event[:64], error.problem))
            return
        if not isinstance(message, Disconnect):
            self._events.append(Received(message, tuple(ignored)))
        elif message.reason == "token_expired":
            self._over = True
            self._events.append(SignedOut())
        else:
            # The portal closes the socket after it, and that is what counts.
            self._events.append(Passed(frame.event, f"reason {message.reason[:64]}"))

    def _take_reply(self, frame: Frame, now: float) -> None:
        ref, payload = _number(frame.ref), frame.payload
        status = payload.get("status") if isinstance(payload, dict) else None
        response = payload.get("response") if isinstance(payload, dict) else None
        if status == "ok" and isinstance(response, dict):
            self._take_ok(frame.topic, ref)
        elif status == "error" and isinstance(response, dict):
            self._take_refusal(frame.topic, ref, str(response.get("reason"))[:256], now)
        elif status != "ok" or response is not None:
            self._events.append(Passed(frame.event, "neither ok nor an error"))

    def _take_ok(self, topic: str, ref: int | None) -> None:
        if ref is None:
            return
        if topic == HEARTBEAT_TOPIC:
            # Answers come in order: those before it will not come any more.
            self._unanswered = [other for other in self._unanswered if other > ref]
        elif topic == self._role and ref == self._join_ref and self._join_deadline is not None:
            self._join_deadline = None
            self._events.append(Joined())

    def _take_refusal(self, topic: str, ref: int | None, reason: str, now: float) -> None:
        if topic != self._role:
            self._events.append(Passed("phx_reply", reason))
        elif ref == self._join_ref and self._join_deadline is not None:
            self._over = True
            self._events.append(Refused(reason))
        elif reason != UNMATCHED_TOPIC:
            self._events.append(Passed("phx_reply", reason))
        elif self._join_deadline is None:
            self._join(now)

    def _join(self, now: float) -> None:
        self._join_ref = self._send(self._role, "phx_join", self._join_payload)
        self._join_deadline = now + JOIN_PATIENCE

    def _heartbeat(self, now: float) -> None:
        if len(self._unanswered) >= MOST_UNANSWERED:
            self._lose(f"{len(self._unanswered)} heartbeats were not answered")
            return
        self._unanswered.append(self._send(HEARTBEAT_TOPIC, "heartbeat", {}))
        # After a suspend the next one is due from now on, not for each interval that was missed.
        self._next_heartbeat = now + HEARTBEAT_INTERVAL

    def _say(self, message: Message) -> None:
        try:
            payload = message.payload()
        except MessageRefused as error:
            self._events.append(Passed(message.event, error.problem))
        else:
            self._send(self._role, message.event, payload)

    def _send(self, topic: str, event: str, payload: Any) -> int:
        ref, self._next_ref = self._next_ref, self._next_ref + 1
        self._out.append(Frame(topic, event, payload, ref).text())
        return ref

    def _lose(self, reason: str) -> None:
        self._over = True
        self._events.append(Lost(reason))


def _number(ref: object) -> int | None:
    """Return a reply's number; some portals repeat it as a text."""
    if isinstance(ref, str) and ref.isascii() and ref.isdigit() and len(ref) < 20:  # noqa: PLR2004
        return int(ref)
    return ref if isinstance(ref, int) and not isinstance(ref, bool) else None
