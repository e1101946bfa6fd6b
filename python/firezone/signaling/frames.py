"""Frames of a Phoenix channel, as its serializer of version 1 writes them: one JSON object each.

    {"topic": "client", "event": "relays_presence", "payload": {...}, "ref": null}

Of text this reads JSON as strict decoders do: no lone surrogates, no NaN, bounded nesting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

__all__ = ["HEARTBEAT_TOPIC", "Cut", "Frame", "FrameRefused", "ok", "read", "refusal"]

HEARTBEAT_TOPIC: Final = "phoenix"


class FrameRefused(ValueError):
    """A text that is no frame; tells why, and never what stood there."""


class Cut(FrameRefused):
    """A text whose JSON ends too early: what carries it is broken."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Args:
        topic: The channel.
        event: What it is about.
        payload: As JSON has it.
        ref: What the answer repeats; the portal's own frames have none.
    """

    topic: str
    event: str
    payload: Any
    ref: Any = None

    def text(self) -> str:
        """Return it as it is sent."""
        fields = {
            "topic": self.topic,
            "event": self.event,
            "payload": self.payload,
            "ref": self.ref,
        }
        return to_json(fields).decode()


def read(text: str | bytes) -> Frame:
    """Read a frame.

    Raises:
        Cut: Its JSON ends too early.
        FrameRefused: It is none.
    """
    try:
        fields = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        kind = Cut if str(error).startswith("EOF") else FrameRefused
        raise kind(f"no JSON: {str(error)[:80]}") from None
    if not isinstance(fields, dict) or "payload" not in fields:
        raise FrameRefused("a frame is an object with topic, event and payload")
    topic, event = fields.get("topic"), fields.get("event")
    if not isinstance(topic, str) or not isinstance(event, str):
        raise FrameRefused("topic and event of a frame are texts")
    return Frame(topic, event, fields["payload"], fields.get("ref"))


def ok(frame: Frame) -> Frame:
    """Return the answer that accepts a frame. Any key in its response would make it unreadable."""
    return Frame(frame.topic, "phx_reply", {"status": "ok", "response": {}}, frame.ref)


def refusal(frame: Frame, reason: str) -> Frame:
    """Return the answer that says what is wrong with a frame."""
    response = {"status": "error", "response": {"reason": reason}}
    return Frame(frame.topic, "phx_reply", response, frame.ref)
