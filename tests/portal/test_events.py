"""Events cross processes as text."""

from __future__ import annotations

import pytest

from firezone.portal import events
from firezone.portal.events import decode, encode, topics


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.ViewChanged(("a", "b"), ("r",)), ("device:a", "device:b")),
        (events.ConfigChanged("x"), ("account:x",)),
        (events.AuthorizationRequested("g", "ref"), ("device:g",)),
        (events.AuthorizationConfirmed("c", "ref"), ("device:c",)),
        (events.AccessRejected("g", (("c", "r"), ("d", "r"))), ("device:g",)),
        (events.ResourceUpdated(("g", "h"), "r"), ("device:g", "device:h")),
        (events.Candidates("c", "g", ("candidate:1",), invalidated=True), ("device:c",)),
        (events.SessionReplaced("d", "s"), ("device:d",)),
        (events.DeviceRemoved("d"), ("device:d",)),
        (events.TokenRevoked("t"), ("token:t",)),
        (events.RelaysChanged("r"), ("*",)),
        (events.Missed(), ("*",)),
    ],
)
def test_an_event_crosses_whole_and_goes_to_those_concerned(
    event: events.Event, expected: tuple[str, ...]
) -> None:
    assert decode(encode(event)) == event
    assert topics(event) == expected


def test_a_field_of_a_later_version_is_passed_over() -> None:
    text = '["DeviceRemoved",{"device":"d","why":"because"}]'

    assert decode(text) == events.DeviceRemoved("d")


@pytest.mark.parametrize("text", ["", "[]", '["Nothing",{}]', '["DeviceRemoved",{}]', "{}", "1"])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        decode(text)
