"""The portal's half of a channel, in virtual time, and both halves together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.signaling import examples
from tests.unit.signaling.test_channel import SECRET, frame, sent

from firezone.signaling.channel import Channel, Joined, Lost, Received
from firezone.signaling.messages import (
    ClientInit,
    GatewayAuthorizationCreated,
    MessageRefused,
    NoRelays,
    RelayJoin,
    RequestAuthorization,
    ResourceDeleted,
    Role,
    SetSnownetCapabilities,
    read_from_portal,
)
from firezone.signaling.outbox import Outbox
from firezone.signaling.portal_channel import Heard, JoinAsked, Left, Malformed, PortalChannel


def joined(role: Role = "client") -> PortalChannel:
    channel = PortalChannel(role, now=0.0)
    channel.receive(frame("phx_join", None, 0, topic=role), 0.0)
    channel.accept()
    channel.frames()
    channel.events()
    return channel


def refused(ref: Any, reason: str) -> dict[str, Any]:
    response = {"status": "error", "response": {"reason": reason}}
    return {"topic": "client", "event": "phx_reply", "payload": response, "ref": ref}


def test_a_join_is_answered_with_nothing_in_it() -> None:
    channel = PortalChannel("client", now=0.0)

    channel.receive(frame("phx_join", None, 0), 0.0)
    assert channel.events() == [JoinAsked()]
    assert channel.frames() == []
    channel.accept()

    assert channel.frames() == [
        '{"topic":"client","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":0}'
    ]


def test_a_relay_says_its_secret() -> None:
    channel = PortalChannel("relay", now=0.0)

    channel.receive(frame("phx_join", {"stamp_secret": "9f2c"}, 0, topic="relay"), 0.0)
    assert channel.events() == [JoinAsked(RelayJoin(stamp_secret=SECRET))]

    channel.receive(frame("phx_join", None, 1, topic="relay"), 0.0)
    assert [type(event) for event in channel.events()] == [Malformed]


@pytest.mark.parametrize("ref", [4, "4", None, {"any": ["json"]}])
def test_a_heartbeat_is_answered_with_its_own_reference(ref: Any) -> None:
    channel = PortalChannel("client", now=0.0)

    channel.receive(frame("heartbeat", {}, ref, topic="phoenix"), 0.0)

    assert sent(channel) == [
        {
            "topic": "phoenix",
            "event": "phx_reply",
            "payload": {"status": "ok", "response": {}},
            "ref": ref,
        }
    ]


def test_who_has_not_joined_is_told_to() -> None:
    channel = PortalChannel("client", now=0.0)

    channel.receive(frame("no_relays", {}, 3), 0.0)

    assert sent(channel) == [refused(3, "unmatched topic")]
    assert channel.events() == []


def test_another_topic_is_not_ours() -> None:
    channel = joined()

    channel.receive(frame("phx_join", None, 3, topic="gateway"), 0.0)

    assert sent(channel) == [refused(3, "unmatched topic") | {"topic": "gateway"}]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("create_flow", {}),
        ("request_authorization", {}),
        ("request_authorization", {"resource_id": "?"}),
    ],
)
def test_what_is_not_known_is_answered_so(event: str, payload: Any) -> None:
    channel = joined()

    channel.receive(frame(event, payload, 3), 0.0)

    assert sent(channel) == [refused(3, "unknown_message")]
    assert channel.events() == []


def test_messages_are_heard_and_answered_by_their_reference() -> None:
    channel = joined("gateway")

    channel.receive(frame("authorization_created", {"ref": "x"}, 7, topic="gateway"), 0.0)
    assert channel.events() == [Heard(GatewayAuthorizationCreated(ref="x"), 7)]
    channel.confirm(7)
    channel.complain(8, "invalid_ref")

    assert [each["payload"] for each in sent(channel)] == [
        {"status": "ok", "response": {}},
        {"status": "error", "response": {"reason": "invalid_ref"}},
    ]


@pytest.mark.parametrize(
    "text", ["", "nothing", "[]", "{}", '{"topic": 1, "event": "x", "payload": 1}']
)
def test_what_is_no_frame_is_told(text: str) -> None:
    channel = joined()

    channel.receive(text, 0.0)

    assert [type(event) for event in channel.events()] == [Malformed]


@pytest.mark.parametrize(("role", "idle"), [("client", 37.0), ("gateway", 37.0), ("relay", 41.0)])
def test_silence_ends_a_session(role: Role, idle: float) -> None:
    channel = PortalChannel(role, now=0.0)
    channel.receive(frame("heartbeat", {}, 0, topic="phoenix"), 5.0)

    assert channel.deadline() == 5.0 + idle
    channel.handle_timer(4.9 + idle)
    assert channel.events() == []
    channel.handle_timer(5.0 + idle)

    assert channel.events() == [Left()]


def test_nothing_is_said_before_the_join_and_after_the_close() -> None:
    channel = PortalChannel("client", now=0.0)
    channel.send(ResourceDeleted(id=examples.DNS_ID))
    assert channel.frames() == []

    channel = joined()
    channel.close()
    channel.send(ResourceDeleted(id=examples.DNS_ID))

    assert [each["event"] for each in sent(channel)] == ["phx_close"]


def test_what_a_component_would_drop_is_not_sent() -> None:
    channel = joined()
    init = read_from_portal("client", "init", {"interface": examples.CLIENT_INIT["interface"]})

    with pytest.raises(MessageRefused, match="flow_logs"):
        channel.send(init)
    assert channel.frames() == []


def test_a_second_join_is_a_new_one() -> None:
    channel = joined()

    channel.receive(frame("phx_join", None, 9), 1.0)
    assert channel.events() == [JoinAsked()]
    channel.send(ResourceDeleted(id=examples.DNS_ID))
    assert channel.frames() == []
    channel.accept()

    assert [each["ref"] for each in sent(channel)] == [9]


class Line:
    """Both halves, and what went over the wire between them."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.component = Channel("client", self.outbox, now=0.0)
        self.portal = PortalChannel("client", now=0.0)
        self.wire: list[tuple[str, str, Any, Any]] = []
        self.silent = False

    def carry(self, now: float) -> None:
        """Carry frames until nobody has one."""
        while texts := [("C", t) for t in self.component.frames()] + [
            ("P", t) for t in self.portal.frames()
        ]:
            for sender, text in texts:
                read = json.loads(text)
                self.wire.append((sender, read["event"], read["payload"], read["ref"]))
                if sender == "C" and not self.silent:
                    self.portal.receive(text, now)
                elif sender == "P":
                    self.component.receive(text, now)


def test_a_client_starts() -> None:
    line = Line()
    line.outbox.put(SetSnownetCapabilities(iceless=False))
    line.carry(0.1)
    assert line.portal.events() == [JoinAsked()]
    line.portal.accept()
    init = ClientInit(interface=examples.CLIENT_INIT["interface"], flow_logs=examples.FLOW_LOGS)
    line.portal.send(init)
    line.carry(0.2)
    line.component.handle_timer(10.0)
    line.carry(10.0)

    assert [(sender, event, ref) for sender, event, _, ref in line.wire] == [
        ("C", "phx_join", 0),
        ("P", "phx_reply", 0),
        ("P", "init", None),
        ("C", "set_snownet_capabilities", 1),
        ("C", "heartbeat", 2),
        ("P", "phx_reply", 2),
    ]
    assert line.component.events() == [Joined(), Received(init)]
    assert line.portal.events() == [Heard(SetSnownetCapabilities(iceless=False), 1)]


def test_a_channel_that_the_portal_forgot_is_joined_again() -> None:
    line = Line()
    line.carry(0.0)
    line.portal.accept()
    line.carry(0.0)
    line.portal = PortalChannel("client", now=0.0)
    line.wire.clear()

    line.outbox.put(NoRelays())
    line.carry(1.0)
    line.portal.accept()
    line.outbox.put(RequestAuthorization(resource_id=examples.DNS_ID))
    line.carry(1.1)

    assert [(sender, event) for sender, event, _, _ in line.wire] == [
        ("C", "no_relays"),
        ("P", "phx_reply"),
        ("C", "phx_join"),
        ("P", "phx_reply"),
        ("C", "request_authorization"),
    ]


def test_a_half_open_connection_is_noticed_at_both_ends() -> None:
    line = Line()
    line.carry(0.0)
    line.portal.accept()
    line.carry(0.0)
    line.component.events()
    line.portal.events()
    line.silent = True
    for second in range(1, 51):
        line.component.handle_timer(float(second))
        line.portal.handle_timer(float(second))
        line.carry(float(second))

    assert [type(event) for event in line.component.events()] == [Lost]
    assert Left() in line.portal.events()
