"""Keeps secrets out of everything that is written down.

A value is a secret if its type says so (pydantic's SecretStr), if the name of its field says so, or
if it was told to be one; then stars stand in its place, also in the middle of a text.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["STARS", "Redaction"]

STARS: Final = "**********"
SHORTEST_SECRET: Final = 4
"""Characters; a shorter value would blank half of every text, and protects nothing."""
DEEPEST: Final = 8
"""Levels of nesting that are written out."""
LONGEST_TEXT: Final = 8 * 1024
"""Characters of one text; of a longer one the middle is left out."""
_TAIL: Final = 2 * 1024
MOST_ITEMS: Final = 256
"""Items of one list or mapping."""
LARGEST_NUMBER: Final = 2**128

_SECRET_NAMES: Final = frozenset(
    (
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "psk",
        "secret",
        "token",
    )
)
_SECRET_PAIRS: Final = frozenset(("api_key", "preshared_key", "private_key", "secret_key"))
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class Redaction:
    """Makes values plain (what JSON has), bounded, and free of secrets."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def register(self, secret: str) -> None:
        """Let stars stand for a value wherever it turns up from now on.

        Args:
            secret: The value; one of fewer than 4 characters is passed over.
        """
        if len(secret) >= SHORTEST_SECRET and secret not in self._secrets:
            # The longest first: one secret may be a part of another.
            self._secrets = tuple(sorted((*self._secrets, secret), key=len, reverse=True))

    def text(self, text: str) -> str:
        """Return a text without registered secrets and of bounded length."""
        for secret in self._secrets:
            text = text.replace(secret, STARS)
        if len(text) <= LONGEST_TEXT:
            return text
        left_out = len(text) - LONGEST_TEXT
        return f"{text[: LONGEST_TEXT - _TAIL]}… ({left_out} characters left out) …{text[-_TAIL:]}"

    def field(self, name: str, value: object) -> Any:
        """Return a field's value as JSON has it, or stars if its name tells of a secret."""
        return self._field(name, value, 0)

    def _field(self, name: str, value: object, depth: int) -> Any:
        if names_secret(name) and value is not None and not isinstance(value, bool):
            return STARS
        return self._plain(value, depth)

    def _plain(self, value: object, depth: int) -> Any:
        if hasattr(value, "get_secret_value"):
            return STARS
        if isinstance(value, Mapping):
            return self._mapping(value, depth) if depth < DEEPEST else "…"
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._items(value, depth) if depth < DEEPEST else "…"
        if value is None or isinstance(value, (bool, int, float)):
            return _number(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            value = bytes(value).decode("utf-8", "backslashreplace")
        return self.text(value if isinstance(value, str) else _describe(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for number, (name, item) in enumerate(value.items()):
            if number == MOST_ITEMS:
                plain["…"] = f"{len(value) - MOST_ITEMS} more"
                break
            key = name if isinstance(name, str) else _describe(name)
            plain[self.text(key)] = self._field(key, item, depth + 1)
        return plain

    def _items(self, value: Iterable[Any], depth: int) -> list[Any]:
        items = list(value)
        plain = [self._plain(item, depth + 1) for item in items[:MOST_ITEMS]]
        if len(items) > MOST_ITEMS:
            plain.append(f"… {len(items) - MOST_ITEMS} more")
        return plain


def names_secret(name: str) -> bool:
    """Tell whether a field's name says that its value is a secret.

    Whole words count: `access_token` and `accessToken` do, `tokens_left` does not.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not _SECRET_NAMES.isdisjoint(words):
        return True
    return any(f"{one}_{two}" in _SECRET_PAIRS for one, two in itertools.pairwise(words))


def _number(value: float | None) -> float | str | None:
    """Return what JSON has for a number: it has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # Python refuses to write very large ones in decimal.
    if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
        return hex(value)
    return value


def _describe(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - what is written down may be broken in any way
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"
