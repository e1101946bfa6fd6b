"""What all messages have in common: an event, a payload, and what happens to a wrong one."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from firezone.errors import FirezoneError

from .wire import Reading

__all__ = ["Message", "MessageRefused", "Part", "UnknownEvent"]


class MessageRefused(FirezoneError, ValueError):
    """A message that cannot be read, or that must not be sent.

    Args:
        event: Its event.
        problem: Where it is wrong, and why; never what stands there: it may be secret.
    """

    def __init__(self, event: str, problem: str) -> None:
        super().__init__(f"{event}: {problem}")
        self.event = event
        self.problem = problem


class UnknownEvent(MessageRefused):
    """No message of this direction has this event."""


class Part(BaseModel):
    """An object inside a message. Fields that are not known are passed over."""

    # Errors may not show what was given: it may be a key.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Message(Part):
    """One message. Making one checks it; `payload` checks what reading would forgive."""

    event: ClassVar[str]
    sent: ClassVar[frozenset[str]] = frozenset()
    """Fields that peers need, though we can do without."""
    bare: ClassVar[str | None] = None
    """The field that is the whole payload, if the payload is not an object with fields."""

    @classmethod
    def read(cls, payload: Any, ignored: list[str] | None = None) -> Self:
        """Read what a peer has sent.

        Args:
            payload: As JSON has it.
            ignored: Takes the places that were wrong and passed over.

        Raises:
            MessageRefused: A field that is required is missing or wrong.
        """
        reading = Reading([] if ignored is None else ignored)
        fields = payload if cls.bare is None else {cls.bare: payload}
        try:
            return cls.model_validate(fields, context=reading)
        except ValidationError as error:
            raise _refused(cls.event, error) from None

    def payload(self) -> Any:
        """Return the payload as JSON has it.

        Raises:
            MessageRefused: A peer would refuse it.
        """
        for name in sorted(self.sent):
            if getattr(self, name) is None:
                raise MessageRefused(self.event, f"{name}: peers do not do without")
        fields = to_jsonable_python(self, exclude_none=True)
        try:
            # Also what was put together past the checks is checked before it is sent.
            type(self).model_validate(fields)
        except ValidationError as error:
            raise _refused(self.event, error) from None
        return fields if self.bare is None else fields[self.bare]


def _refused(event: str, error: ValidationError) -> MessageRefused:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"]) or "payload"
    return MessageRefused(event, f"{where}: {first['msg'].removeprefix('Value error, ')}")
