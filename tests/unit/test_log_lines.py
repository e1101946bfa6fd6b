"""One event as one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firezone.log_lines import (
    LONGEST_LINE,
    SEVERITIES,
    Record,
    format_time,
    from_json,
    parse_time,
    severity_rank,
    to_human,
    to_json,
)

MOMENT = 1_795_622_400_000_000_001
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)


def test_the_contract_of_a_line() -> None:
    line = to_json(
        Record(MOMENT, "INFO", "access given", {"resource": "a", "event": "access.given"})
    )

    assert line == (
        b'{"time":"2026-11-25T16:00:00.000000001Z","severity":"INFO","message":"access given",'
        b'"event":"access.given","resource":"a"}\n'
    )


def test_a_field_cannot_take_the_place_of_the_first_three() -> None:
    fields = {"time": 1, "severity": "x", "message": "y"}

    document = json.loads(to_json(Record(MOMENT, "WARN", "told", fields)))

    assert document["severity"] == "WARN"
    assert document["message"] == "told"
    assert document["severity_"] == "x"


@given(st.text(st.characters()), st.dictionaries(st.text(st.characters()), PLAIN))
@settings(derandomize=True, deadline=None)
def test_every_record_is_one_line_that_reads_back(message: str, fields: dict[str, object]) -> None:
    line = to_json(Record(MOMENT, "DEBUG", message, fields))

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    line.decode()
    read = from_json(line)
    assert read is not None
    assert (read.time, read.severity, read.message) == (MOMENT, "DEBUG", message)


def test_a_line_too_long_says_what_it_left_out() -> None:
    line = to_json(Record(MOMENT, "INFO", "big", {"blob": "x" * LONGEST_LINE}))

    assert len(line) < 1024
    assert json.loads(line)["fields"] == "blob"


@pytest.mark.parametrize("nanoseconds", [0, 1, 999_999_999, MOMENT])
def test_times_read_back(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds)) == nanoseconds


def test_times_with_fewer_digits_are_known() -> None:
    assert parse_time("1970-01-01T00:00:01Z") == 1_000_000_000
    assert parse_time("1970-01-01T00:00:01.5Z") == 1_500_000_000


def test_a_time_that_no_calendar_has_becomes_the_first() -> None:
    assert format_time(10**40) == "1970-01-01T00:00:00.000000000Z"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-24", "2026-11-24T16:00:00+01:00"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no UTC time"):
        parse_time(text)


def test_severities_and_their_other_names() -> None:
    assert [severity_rank(name) for name in SEVERITIES] == [0, 1, 2, 3, 4]
    assert severity_rank("warning") == severity_rank("WARN")
    assert severity_rank("critical") == severity_rank("ERROR")
    with pytest.raises(ValueError, match="there are trace, debug"):
        severity_rank("loud")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b'{"time":"2026-11-24T16:00:00.0Z","mess',
        b"[1]",
        b"{}",
        b'{"time":1,"severity":"INFO","message":"m"}',
        b'{"time":"2026-11-24T16:00:00Z","severity":"LOUD","message":"m"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_bad_line_is_none(line: bytes) -> None:
    assert from_json(line) is None


def test_the_form_for_people() -> None:
    fields = {"event": "a.b", "name": "app.site.example", "why": "no room", "n": {"a": 1}}

    text = to_human(Record(MOMENT, "WARN", "something", fields), date=True)

    assert text == (
        '2026-11-25 16:00:00.000 WARN  something name=app.site.example why="no room" n={"a":1}'
    )


def test_nothing_written_can_command_a_terminal() -> None:
    fields = {"name": "\x1b[2Jevil\x07", "exception": "one\n\x1b[31mtwo"}

    text = to_human(Record(MOMENT, "INFO", "a\nb\x9b", fields))

    assert "\x1b" not in text
    assert "\x9b" not in text
    assert text.splitlines()[0].endswith("a\\nb\\x9b name=\\x1b[2Jevil\\x07")
    assert text.splitlines()[1:] == ["    one", "    \\x1b[31mtwo"]
