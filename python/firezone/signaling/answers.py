"""What a portal's answer to the request means if it is not the upgrade that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "classify"]

_UNAUTHORIZED: Final = 401
_TOKEN_CODES: Final = ("invalid_token", "missing_token")
LONGEST_DELAY: Final = 24 * 3600.0
"""Seconds; a portal that wants to be left alone for longer is asked again after a day."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do.

    Args:
        text: What happened, for people.
        is_final: Whether trying again is of no use.
        is_token_bad: Whether the token is, so that it is forgotten.
        retry_after: Seconds to wait, if the portal said so; such a wait counts towards no budget.
    """

    text: str
    is_final: bool = False
    is_token_bad: bool = False
    retry_after: float | None = None


def classify(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
    """Return what an answer means.

    Args:
        status: Of HTTP.
        headers: Looked up without regard to case.
        body: As far as it has come.
        now: Seconds since 1970, for a date to retry after.
    """
    problem = _problem(headers.get("Content-Type", ""), body)
    code, detail = problem.get("code"), problem.get("detail") or problem.get("title")
    text = f"the portal answered {status}"
    if isinstance(code, str):
        text += f" {code[:64]}"
    if isinstance(detail, str):
        text += f": {detail[:256]}"
    if status != _UNAUTHORIZED:
        # A redirect is not followed: the token is for the portal alone.
        return Answer(text, retry_after=_delay(headers.get("Retry-After", ""), now))
    return Answer(text, is_final=True, is_token_bad=code in _TOKEN_CODES)


def _problem(kind: str, body: bytes) -> dict[str, Any]:
    if kind.partition(";")[0].strip().lower() != "application/problem+json":
        return {}
    try:
        problem = from_json(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _delay(value: str, now: float) -> float | None:
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), LONGEST_DELAY)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max(0.0, moment.timestamp() - now), LONGEST_DELAY)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
