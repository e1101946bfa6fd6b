"""What a portal and a Relay say to each other."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from .message import Message
from .wire import Secret

__all__ = ["RelayInit", "RelayJoin"]


class RelayInit(Message):
    """Tells a Relay that it is known. Nothing in it counts."""

    event: ClassVar = "init"

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        if not isinstance(value, dict | cls):
            raise ValueError("expected an object")
        return value


class RelayJoin(Message):
    """A Relay joins; its secret makes its id and the credentials of those who use it."""

    event: ClassVar = "phx_join"

    stamp_secret: Secret = Field(min_length=1)
