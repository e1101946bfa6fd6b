"""The portal's half of a component's channel, without clock or socket.

It answers heartbeats and what nobody can read; joins and messages are events. `frames` is sent, in
order, after every call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from . import frames
from .frames import HEARTBEAT_TOPIC, Frame, FrameRefused
from .messages import Message, MessageRefused, RelayJoin, Role, read_from_component

__all__ = ["Heard", "JoinAsked", "Left", "Malformed", "PortalChannel", "PortalEvent"]

IDLE: Final = {"client": 37.0, "gateway": 37.0, "relay": 41.0}
"""Seconds without a frame after which a component is gone: more than three of its heartbeats."""


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """A component joins, for the first time or again: answer with `accept`, then `init`.

    Args:
        relay: What a Relay joins with.
    """

    relay: RelayJoin | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """A message.

    Args:
        message: The message.
        ref: For `confirm` and `complain`.
    """

    message: Message
    ref: Any


@dataclass(frozen=True, slots=True)
class Malformed:
    """What came is no frame: close the socket."""

    problem: str


@dataclass(frozen=True, slots=True)
class Left:
    """Close the socket: the component has said nothing for long."""


PortalEvent: TypeAlias = JoinAsked | Heard | Malformed | Left


class PortalChannel:
    """One component's channel.

    Args:
        role: Who is at the other end, which is the topic, too.
        now: Seconds of a clock that only goes forward.
    """

    def __init__(self, role: Role, *, now: float) -> None:
        self._role = role
        self._heard_at = now
        self._joining: Frame | None = None
        self._joined = False
        self._out: list[str] = []
        self._events: list[PortalEvent] = []

    @property
    def is_joined(self) -> bool:
        """Whether the component may be told something."""
        return self._joined

    def deadline(self) -> float:
        """Return when `handle_timer` is due, if nothing arrives."""
        return self._heard_at + IDLE[self._role]

    def frames(self) -> list[str]:
        """Return what is to be sent now."""
        taken, self._out = self._out, []
        return taken

    def events(self) -> list[PortalEvent]:
        """Return what has happened since."""
        taken, self._events = self._events, []
        return taken

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if now >= self.deadline():
            self._events.append(Left())

    def receive(self, text: str | bytes, now: float) -> None:
        """Take a frame's text."""
        self._heard_at = now
        try:
            frame = frames.read(text)
        except FrameRefused as error:
            self._events.append(Malformed(str(error)))
            return
        if frame.topic == HEARTBEAT_TOPIC and frame.event == "heartbeat":
            self._answer(frames.ok(frame))
        elif frame.topic != self._role:
            self._answer(frames.refusal(frame, "unmatched topic"))
        elif frame.event == "phx_join":
            self._take_join(frame)
        elif not self._joined:
            # This makes the component join again.
            self._answer(frames.refusal(frame, "unmatched topic"))
        elif frame.event == "phx_leave":
            self._joined = False
            self._answer(frames.ok(frame))
        else:
            self._take_message(frame)

    def accept(self) -> None:
        """Answer the join. From now on the component may be told something."""
        if self._joining is not None:
            self._answer(frames.ok(self._joining))
            self._joining, self._joined = None, True

    def send(self, message: Message) -> None:
        """Tell the component something; nothing before it has joined.

        Raises:
            MessageRefused: Components would silently drop it.
        """
        payload = message.payload()
        if self._joined:
            self._answer(Frame(self._role, message.event, payload))

    def confirm(self, ref: Any) -> None:
        """Answer a message: done."""
        self._answer(frames.ok(Frame(self._role, "", None, ref)))

    def complain(self, ref: Any, reason: str) -> None:
        """Answer a message: it is wrong. Components pass over that."""
        self._answer(frames.refusal(Frame(self._role, "", None, ref), reason))

    def close(self) -> None:
        """Tell the component that its channel is closed, so that it connects anew."""
        if self._joined:
            self._joined = False
            self._answer(Frame(self._role, "phx_close", {}))

    def _take_join(self, frame: Frame) -> None:
        relay = None
        if self._role == "relay":
            try:
                relay = RelayJoin.read(frame.payload)
            except MessageRefused as error:
                self._events.append(Malformed(error.problem))
                return
        self._joining, self._joined = frame, False
        self._events.append(JoinAsked(relay))

    def _take_message(self, frame: Frame) -> None:
        try:
            message = read_from_component(self._role, frame.event, frame.payload)
        except MessageRefused:
            self.complain(frame.ref, "unknown_message")
        else:
            self._events.append(Heard(message, frame.ref))

    def _answer(self, frame: Frame) -> None:
        self._out.append(frame.text())
