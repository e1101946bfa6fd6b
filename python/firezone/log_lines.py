"""One event as one line: JSON for machines, and its form for people.

A line is an object whose first members are `time` (RFC 3339 in UTC with nine digits), `severity`
and `message`; fields follow, `event` (an `area.verb`) first of them.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SEVERITIES",
    "Record",
    "format_time",
    "from_json",
    "parse_time",
    "severity_rank",
    "to_human",
    "to_json",
]

SEVERITIES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
LONGEST_LINE: Final = 64 * 1024
"""Bytes; the fields of a longer one are left out, and that is said."""

_ALIASES: Final = {
    "WARNING": "WARN",
    "CRITICAL": "ERROR",
    "FATAL": "ERROR",
    "EXCEPTION": "ERROR",
    "NOTSET": "TRACE",
}
_NANOS: Final = 1_000_000_000
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z")
_FIRST: Final = ("time", "severity", "message")


@dataclass
class Record:
    """An event on its way to a line.

    Args:
        time: Nanoseconds since 1970, UTC.
        severity: One of SEVERITIES.
        message: A sentence for people.
        fields: Plain values, in order; names other than those above.
    """

    time: int
    severity: str
    message: str
    fields: dict[str, Any] = field(default_factory=dict)


def severity_rank(severity: str) -> int:
    """Return how severe: 0 for TRACE to 4 for ERROR.

    Args:
        severity: In any case; `warning` and `critical` are known too.

    Raises:
        ValueError: It is none.
    """
    name = severity.upper()
    name = _ALIASES.get(name, name)
    if name not in SEVERITIES:
        known = ", ".join(level.lower() for level in SEVERITIES)
        message = f"{severity!r} is no level; there are {known}"
        raise ValueError(message)
    return SEVERITIES.index(name)


def format_time(nanoseconds: int) -> str:
    """Write a time as RFC 3339 in UTC with nine digits."""
    seconds, rest = divmod(nanoseconds, _NANOS)
    try:
        moment = time.gmtime(seconds)
    except (OverflowError, ValueError, OSError):
        moment, rest = time.gmtime(0), 0
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{rest:09}Z"


def parse_time(text: str) -> int:
    """Read what `format_time` writes, also with fewer digits.

    Raises:
        ValueError: It is no such time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        message = f"{text!r} is no UTC time like 2026-11-24T16:00:00Z"
        raise ValueError(message)
    whole = calendar.timegm(tuple(int(part) for part in match.groups()[:6]))
    return whole * _NANOS + int((match[7] or "").ljust(9, "0"))


def to_json(record: Record) -> bytes:
    """Write a record as one line with its newline, of at most LONGEST_LINE bytes."""
    line = _encode(record, record.fields)
    if len(line) > LONGEST_LINE:
        left_out = ", ".join(record.fields)[:256]
        line = _encode(record, {"event": "log.shortened", "bytes": len(line), "fields": left_out})
    return line


def _encode(record: Record, fields: Mapping[str, Any]) -> bytes:
    document: dict[str, Any] = {
        "time": format_time(record.time),
        "severity": record.severity,
        "message": record.message,
    }
    if "event" in fields:
        document["event"] = fields["event"]
    for name, value in fields.items():
        document[f"{name}_" if name in _FIRST else name] = value
    # A lone surrogate becomes \udcxx, which is how JSON writes it.
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def from_json(line: bytes | str) -> Record | None:
    """Read a line; one that is not an event gives None."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    try:
        moment = parse_time(str(document.pop("time")))
        severity = SEVERITIES[severity_rank(str(document.pop("severity")))]
        message = str(document.pop("message"))
    except (KeyError, ValueError):
        return None
    return Record(moment, severity, message, document)


def to_human(record: Record, *, date: bool = False) -> str:
    """Write a record for people, control characters made visible.

    Args:
        record: What is written.
        date: Whether the day stands before the time of day.

    Returns:
        One line without its newline, or more if a field holds a traceback.
    """
    written = format_time(record.time)
    moment = (f"{written[:10]} " if date else "") + written[11:23]
    parts = [moment, f"{record.severity:<5}", visible(record.message)]
    below: list[str] = []
    for name, value in record.fields.items():
        if name == "exception" and isinstance(value, str):
            below += [f"    {visible(line)}" for line in value.splitlines()]
        elif name != "event":
            parts.append(f"{visible(name)}={_brief(value)}")
    return "\n".join((" ".join(parts), *below))


def visible(text: str) -> str:
    """Return a text whose control characters cannot command a terminal."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def _brief(value: object) -> str:
    if isinstance(value, str):
        text = visible(value)
        return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
    return visible(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))
