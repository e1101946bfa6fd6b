"""A component's half of a channel, in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.unit.signaling import examples

from firezone.signaling import channel as at_component
from firezone.signaling import portal_channel as at_portal
from firezone.signaling.channel import Channel, Joined, Lost, Passed, Received, Refused, SignedOut
from firezone.signaling.messages import (
    NewGatewayIceCandidates,
    NoRelays,
    RelayJoin,
    RequestAuthorization,
    Role,
    SetSnownetCapabilities,
)
from firezone.signaling.outbox import MOST, Outbox
from firezone.signaling.portal_channel import PortalChannel

SECRET = SecretStr("9f2c")
CAPABILITIES = SetSnownetCapabilities(iceless=False)


def frame(event: str, payload: Any, ref: Any = None, topic: str = "client", **more: Any) -> str:
    return json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref} | more)


def reply(ref: Any, response: Any, status: str = "ok", topic: str = "client") -> str:
    return frame("phx_reply", {"status": status, "response": response}, ref, topic)


def sent(channel: Channel | PortalChannel) -> list[dict[str, Any]]:
    return [json.loads(text) for text in channel.frames()]


def joined(outbox: Outbox | None = None, role: Role = "client") -> Channel:
    channel = Channel(role, Outbox() if outbox is None else outbox, now=0.0)
    channel.frames()
    channel.receive(reply(0, {}, topic=role), 0.0)
    assert channel.events() == [Joined()]
    return channel


def test_the_first_frame_is_the_join() -> None:
    channel = Channel("client", Outbox(), now=0.0)

    assert channel.frames() == ['{"topic":"client","event":"phx_join","payload":null,"ref":0}']


def test_a_relay_joins_with_its_secret() -> None:
    channel = Channel("relay", Outbox(), now=0.0, join=RelayJoin(stamp_secret=SECRET))

    assert sent(channel)[0]["payload"] == {"stamp_secret": "9f2c"}


def test_nothing_but_heartbeats_goes_out_before_the_join_is_answered() -> None:
    outbox = Outbox()
    channel = Channel("client", outbox, now=0.0)
    outbox.put(CAPABILITIES)
    channel.frames()

    assert channel.frames() == []
    channel.receive(reply(0, {}), 1.0)

    assert [(each["event"], each["ref"]) for each in sent(channel)] == [
        ("set_snownet_capabilities", 1)
    ]


@pytest.mark.parametrize("answer", [reply("0", {}), reply(0, {"version": 3}), reply(0.0, {})])
def test_what_counts_as_the_answer_to_a_join(answer: str) -> None:
    channel = Channel("client", Outbox(), now=0.0)

    channel.receive(answer, 0.1)

    assert channel.is_joined == ("0.0" not in answer)


@pytest.mark.parametrize("answer", [reply(0, None), reply(7, {}), reply(0, {}, topic="gateway")])
def test_what_does_not(answer: str) -> None:
    channel = Channel("client", Outbox(), now=0.0)

    channel.receive(answer, 0.1)

    assert not channel.is_joined


def test_a_join_that_is_not_answered_loses_the_connection() -> None:
    channel = Channel("client", Outbox(), now=100.0)

    assert channel.deadline() == 105.0
    channel.handle_timer(104.9)
    assert channel.events() == []
    channel.handle_timer(105.0)

    assert channel.events() == [Lost("the join was not answered")]


def test_a_join_that_is_refused_is_final() -> None:
    for reason in ("unmatched topic", "invalid_version", "disabled"):
        channel = Channel("client", Outbox(), now=0.0)
        channel.receive(reply(0, {"reason": reason, "more": 1}, status="error"), 0.1)
        assert channel.events() == [Refused(reason)]


def test_a_heartbeat_goes_out_every_ten_seconds_whatever_else_does() -> None:
    outbox = Outbox()
    channel = joined(outbox)
    beats = []
    for second in range(1, 31):
        outbox.put(CAPABILITIES)
        channel.handle_timer(float(second))
        for each in sent(channel):
            if each["topic"] == "phoenix":
                assert each == {
                    "topic": "phoenix",
                    "event": "heartbeat",
                    "payload": {},
                    "ref": each["ref"],
                }
                channel.receive(reply(each["ref"], {}, topic="phoenix"), second)
                beats.append(second)

    assert beats == [10, 20, 30]


def test_four_heartbeats_without_an_answer_lose_the_connection() -> None:
    channel = joined()
    for now in (10.0, 20.0, 30.0, 40.0):
        channel.handle_timer(now)
        assert channel.events() == []
    assert len(channel.frames()) == 4

    channel.handle_timer(50.0)

    assert channel.events() == [Lost("4 heartbeats were not answered")]


def test_the_answer_to_a_later_heartbeat_counts_for_those_before_it() -> None:
    channel = joined()
    for now in (10.0, 20.0, 30.0, 40.0):
        channel.handle_timer(now)
    refs = [each["ref"] for each in sent(channel)]

    channel.receive(reply(refs[-1], {}, topic="phoenix"), 41.0)
    channel.handle_timer(50.0)

    assert channel.events() == []


def test_an_empty_answer_leaves_a_heartbeat_unanswered() -> None:
    channel = joined()
    for now in (10.0, 20.0, 30.0, 40.0):
        channel.handle_timer(now)
        channel.receive(reply(sent(channel)[0]["ref"], None, topic="phoenix"), now)

    channel.handle_timer(50.0)

    assert channel.events() == [Lost("4 heartbeats were not answered")]


def test_an_unmatched_topic_joins_again_and_holds_what_there_is_to_say() -> None:
    outbox = Outbox()
    channel = joined(outbox)
    outbox.put(CAPABILITIES)
    channel.frames()
    channel.receive(reply(1, {"reason": "unmatched topic"}, status="error"), 2.0)
    outbox.put(NoRelays())

    again = sent(channel)
    assert [(each["event"], each["ref"]) for each in again] == [("phx_join", 2)]
    assert channel.deadline() == 7.0
    channel.receive(reply(2, {}), 3.0)

    assert channel.events() == [Joined()]
    assert [each["event"] for each in sent(channel)] == ["no_relays"]


def test_an_unmatched_topic_of_another_channel_changes_nothing() -> None:
    channel = joined()

    channel.receive(reply(1, {"reason": "unmatched topic"}, status="error", topic="relay"), 2.0)

    assert channel.is_joined
    assert channel.frames() == []


@pytest.mark.parametrize("topic", ["client", "phoenix", "another"])
def test_a_closed_channel_is_a_lost_connection(topic: str) -> None:
    channel = joined()

    channel.receive(frame("phx_close", {}, topic=topic), 1.0)

    assert channel.events() == [Lost("the portal closed the channel")]


@pytest.mark.parametrize("payload", [{}, {"reason": "join crashed"}])
def test_a_failed_channel_stays(payload: Any) -> None:
    channel = joined()

    channel.receive(frame("phx_error", payload), 1.0)

    assert channel.is_joined


def test_an_expired_token_signs_out() -> None:
    channel = joined()

    channel.receive(frame("disconnect", {"reason": "token_expired"}), 1.0)

    assert channel.events() == [SignedOut()]
    assert not channel.is_joined


@pytest.mark.parametrize("payload", [{"reason": "certificate_revoked"}, {}, None])
def test_another_reason_to_disconnect_waits_for_the_close(payload: Any) -> None:
    channel = joined()

    channel.receive(frame("disconnect", payload), 1.0)

    (event,) = channel.events()
    assert isinstance(event, Passed)
    assert channel.is_joined


def test_messages_are_received_on_any_topic_with_further_keys() -> None:
    channel = joined()

    channel.receive(frame("init", examples.CLIENT_INIT, topic="?", join_ref="1"), 1.0)

    (event,) = channel.events()
    assert isinstance(event, Received)
    assert event.message.payload()["interface"]["ipv4"] == "100.64.0.2"


@pytest.mark.parametrize(
    "text",
    [
        "[null, 0, 'client', 'init', {}]",
        '[null,"0","client","init",{}]',
        '{"topic": "client", "event": "init"}',
        '{"event": "init", "payload": {}}',
        '{"topic": "client", "event": 7, "payload": {}}',
        '{"topic": "client", "event": "init", "payload": NaN}',
        '{"topic": "client", "event": "init", "payload": "\\ud800"}',
        "[" * 10_000 + "]" * 10_000,
        "nothing",
        frame("of_next_year", {}),
        frame("init", {"interface": 1}),
        frame("init", None),
        reply(1, {"reason": "unknown_message"}, status="error"),
        reply(1, {"reason": 7}, status="error"),
        frame("phx_reply", []),
        frame("phx_reply", {"status": "maybe", "response": {}}),
    ],
)
def test_what_cannot_be_read_is_passed_over(text: str) -> None:
    channel = joined()

    channel.receive(text, 1.0)

    (event,) = channel.events()
    assert isinstance(event, Passed)
    assert channel.is_joined


@pytest.mark.parametrize("text", ["", '{"topic": "client", "ev', '{"topic": "client",'])
def test_json_that_ends_too_early_is_a_broken_connection(text: str) -> None:
    channel = joined()

    channel.receive(text, 1.0)

    assert [type(event) for event in channel.events()] == [Lost]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FRAMES = st.fixed_dictionaries(
    {
        "topic": st.sampled_from(["client", "phoenix", "gateway"]) | ANYTHING,
        "event": st.sampled_from(["phx_join", "phx_reply", "phx_error", "heartbeat", "init"])
        | ANYTHING,
        "payload": st.just({"status": "ok", "response": {}}) | ANYTHING,
    },
    optional={"ref": ANYTHING, "join_ref": ANYTHING},
)


@given(text=st.text() | st.binary() | FRAMES.map(json.dumps))
def test_nothing_that_arrives_breaks_either_half(text: str | bytes) -> None:
    component, portal = joined(), PortalChannel("client", now=0.0)
    for channel in (component, portal):
        channel.receive(text, 1.0)

    # Whatever it was, each says what it makes of it and goes on, or says that it is over.
    assert all(event is not None for event in (*component.events(), *portal.events()))
    for answered in portal.frames():
        assert json.loads(answered)["event"] == "phx_reply"


def test_nothing_happens_after_the_end() -> None:
    channel = joined()
    channel.receive(frame("phx_close", {}), 1.0)
    channel.events()

    channel.receive(frame("init", examples.CLIENT_INIT), 2.0)
    channel.handle_timer(99.0)

    assert channel.events() == []
    assert channel.frames() == []


def test_an_equal_message_does_not_wait_twice() -> None:
    outbox = Outbox()
    request = RequestAuthorization(resource_id=examples.DNS_ID)
    for _ in range(3):
        outbox.put(request)
    outbox.put(RequestAuthorization(resource_id=examples.CIDR_ID))

    assert len(outbox.take()) == 2
    outbox.put(request)
    assert outbox.take() == [request]


def test_candidates_wait_for_the_next_connection_and_nothing_else_does() -> None:
    outbox = Outbox()
    candidates = NewGatewayIceCandidates(
        gateway_id=examples.GATEWAY_ID, candidates=examples.CANDIDATES
    )
    for message in (NoRelays(), candidates, CAPABILITIES):
        outbox.put(message)

    outbox.connection_lost()

    assert outbox.take() == [candidates]


def test_the_oldest_gives_way_when_too_much_waits() -> None:
    outbox = Outbox()
    for number in range(MOST + 2):
        outbox.put(
            NewGatewayIceCandidates(gateway_id=examples.GATEWAY_ID, candidates=(str(number),))
        )

    taken = outbox.take()
    assert len(taken) == MOST
    assert taken[0].payload()["candidates"] == ["2"]


def test_a_message_that_peers_would_refuse_is_not_sent() -> None:
    outbox = Outbox()
    channel = joined(outbox)
    outbox.put(RequestAuthorization.model_construct(resource_id="?"))

    assert channel.frames() == []
    assert [type(event) for event in channel.events()] == [Passed]


def test_constants_are_those_of_the_protocol() -> None:
    assert at_component.HEARTBEAT_INTERVAL == 10
    assert at_component.JOIN_PATIENCE == 5
    assert at_portal.IDLE == {"client": 37, "gateway": 37, "relay": 41}
