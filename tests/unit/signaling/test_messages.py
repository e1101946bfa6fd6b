"""Each message is read as tolerantly as it may be, and sent so that every peer takes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.signaling import examples, strict_peer
from tests.unit.signaling.strict_peer import Tagged, accepts

from firezone.signaling import messages
from firezone.signaling.messages import (
    CreateAuthorization,
    Disconnect,
    IceCandidatesOfGateway,
    Message,
    MessageRefused,
    PortFilter,
    UnknownEvent,
    read_from_component,
    read_from_portal,
)

ALL = [
    *((read_from_portal, strict_peer.FROM_PORTAL, *each) for each in examples.FROM_PORTAL),
    *((read_from_component, strict_peer.FROM_COMPONENT, *each) for each in examples.FROM_COMPONENT),
]
EVERY = pytest.mark.parametrize(
    ("read", "table", "role", "event", "payload"),
    ALL,
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
WRONG: list[Any] = [None, 7, -1.5, "?", True, [], [[7]], {}, {"x": [None]}, 2**80, "\u0000"]
OUR_TOLERANCE = {("flow_logs",), ("flow_logs_ingest_token",)}
"""Required by others; older portals do not say it, so that we do without."""


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of everything inside a value."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return [before]
    return [before, *(path for key, item in inner for path in paths(item, (*before, key)))]


def changed(payload: Any, path: tuple[Any, ...], *value: Any) -> Any:
    """Return a payload with another value at a place, or without that place."""
    if not path:
        return value[0] if value else {}
    copied = copy.deepcopy(payload)
    at = copied
    for step in path[:-1]:
        at = at[step]
    if value:
        at[path[-1]] = value[0]
    else:
        del at[path[-1]]
    return copied


def required(shape: Any, value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places in a value that a strict peer requires."""
    if isinstance(shape, Tagged):
        return [(*before, shape.tag), *required(shape.shapes[value[shape.tag]], value, before)]
    if isinstance(shape, list):
        found = (required(shape[0], item, (*before, at)) for at, item in enumerate(value))
        return [path for places in found for path in places]
    if not isinstance(shape, dict):
        return []
    places = []
    for name, inner in shape.items():
        plain = name.rstrip("?~")
        if plain not in value or value[plain] is None:
            continue
        if plain == name:
            places.append((*before, plain))
        places += required(inner, value[plain], (*before, plain))
    return places


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@EVERY
def test_what_is_read_is_sent_the_same(
    read: Any, table: Any, role: str, event: str, payload: Any
) -> None:
    ignored: list[str] = []

    message = read(role, event, payload, ignored)

    sent = message.payload()
    assert ignored == []
    assert message.event == event
    assert accepts(table[role, event], sent)
    assert read(role, event, sent) == message
    assert includes(sent, without_nulls(payload))


def includes(whole: Any, part: Any) -> bool:
    """Tell whether all of a part is in the whole; what nobody reads may be left out."""
    if isinstance(part, dict):
        return all(
            key == "can_be_disabled" or includes(whole.get(key), item) for key, item in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(includes, whole, part))
    return bool(whole == part)


@EVERY
def test_what_peers_require_refuses_a_message(
    read: Any, table: Any, role: str, event: str, payload: Any
) -> None:
    shape = table[role, event]
    strict = [path for path in required(shape, payload) if not tolerated(event, path)]
    for path in strict:
        wrong = [changed(payload, path), *(changed(payload, path, value) for value in WRONG)]
        for worse in wrong:
            if not accepts(shape, worse):
                with pytest.raises(MessageRefused):
                    read(role, event, worse)


def tolerated(event: str, path: tuple[Any, ...]) -> bool:
    """Tell whether we may pass over a wrong value where others do not."""
    is_resource = path[:1] == ("resources",)  # that one alone is left out
    is_default = path[-1:] in {("connected_gateway_ids",), ("iceless",)}
    is_text = event == "disconnect"  # any reason will do
    return path[:1] in OUR_TOLERANCE or is_resource or is_default or is_text


@EVERY
def test_a_wrong_optional_counts_as_missing(
    read: Any, table: Any, role: str, event: str, payload: Any
) -> None:
    shape = table[role, event]
    if not isinstance(shape, dict) or not isinstance(payload, dict):
        return
    for name in shape:
        plain = name.rstrip("?~")
        if plain == name or plain in {"expires_at", "resource", "filters"}:
            continue
        missing = read(role, event, changed(payload | {plain: None}, (plain,)))
        for value in (None, 7.5, {"x": 1}):
            assert read(role, event, payload | {plain: value}) == missing


@EVERY
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_nothing_that_comes_breaks_us_and_nothing_sent_breaks_others(
    read: Any, table: Any, role: str, event: str, payload: Any, data: st.DataObject
) -> None:
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    path = data.draw(st.sampled_from(paths(payload)))
    gone = bool(path) and data.draw(st.booleans())
    value = data.draw(st.sampled_from(WRONG) | json)
    worse = changed(payload, path) if gone else changed(payload, path, value)

    try:
        message = read(role, event, worse)
        sent = message.payload()
    except MessageRefused:
        return

    assert accepts(table[role, event], sent)


@EVERY
def test_unknown_fields_pass(read: Any, table: Any, role: str, event: str, payload: Any) -> None:
    del table
    for path in paths(payload):
        at = payload
        for step in path:
            at = at[step]
        if isinstance(at, dict):
            more = changed(payload, path, at | {"not_yet_known": {"x": [1]}})
            assert read(role, event, more) == read(role, event, payload)


def test_every_message_has_an_example() -> None:
    known = {(role, event) for role, event, _ in examples.FROM_PORTAL}
    aliases = {
        ("client", "gateway_ice_candidates"),
        ("client", "invalidate_gateway_ice_candidates"),
    }
    all_of = {
        (role, event) for role, kinds in messages.FROM_PORTAL.items() for event in kinds
    } - aliases

    assert all_of - known == {("relay", "disconnect")}
    assert {
        (role, event) for role, kinds in messages.FROM_COMPONENT.items() for event in kinds
    } == {(role, event) for role, event, _ in examples.FROM_COMPONENT}


def test_an_event_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(UnknownEvent):
        read_from_portal("gateway", "authorize_flow", {})
    with pytest.raises(UnknownEvent):
        read_from_portal("gateway", "config_changed", {"interface": {}})


def client_init(**changes: Any) -> messages.ClientInit:
    message = read_from_portal("client", "init", examples.CLIENT_INIT | changes)
    assert isinstance(message, messages.ClientInit)
    return message


@pytest.mark.parametrize(
    "resource",
    [
        {"type": "dns"},
        {"type": "of_next_year", "id": "?"},
        examples.CLIENT_DNS | {"ip_stack": "both"},
        examples.CLIENT_DNS | {"filters": [{"protocol": "sctp"}]},
        examples.CLIENT_DNS | {"filters": None},
        examples.CLIENT_DNS | {"gateway_groups": [examples.SITE]},
        examples.CLIENT_CIDR | {"address": "10.20.0.1/16"},
        examples.CLIENT_CIDR | {"address": "10.20.0.1"},
    ],
)
def test_a_resource_that_cannot_be_read_is_left_out_alone(resource: Any) -> None:
    init = client_init(resources=[resource, examples.CLIENT_CIDR])

    assert [str(each.id) for each in init.resources] == [examples.CIDR_ID]


def test_a_resource_without_a_type_refuses_the_message() -> None:
    with pytest.raises(MessageRefused):
        client_init(resources=[changed(examples.CLIENT_DNS, ("type",))])


def test_older_names_are_read_and_newer_ones_are_sent() -> None:
    older = {
        "gateway_groups" if key == "sites" else key: item
        for key, item in examples.CLIENT_DNS.items()
    }
    grant = changed(examples.CLIENT_GRANT, ("site_id",)) | {"gateway_group_id": examples.SITE["id"]}

    init = client_init(resources=[older])
    created = read_from_portal("client", "authorization_created", grant)

    assert init.payload()["resources"][0]["sites"] == [examples.SITE]
    assert created.payload()["site_id"] == examples.SITE["id"]


def test_a_single_address_may_have_its_prefix() -> None:
    with_prefix = {"ipv4": "100.64.0.7/32", "ipv6": "fd00:2021:1111::7/128"}

    resolved = read_from_portal(
        "client", "device_pool_domain_resolved", examples.RESOLVED | with_prefix
    )

    assert resolved.payload() == examples.RESOLVED


def test_the_aliases_of_candidates_are_read() -> None:
    message = read_from_portal("client", "gateway_ice_candidates", examples.OF_GATEWAY)

    assert isinstance(message, IceCandidatesOfGateway)


def test_bad_candidates_are_left_out_one_by_one() -> None:
    ignored: list[str] = []
    bad = [
        "candidate:1 1 udp high 192.0.2.1 1 typ host",
        f"candidate:1 1 udp {'9' * 5000} 192.0.2.1 1 typ host",
        "1 1 udp 5 192.0.2.1 1 typ host",
        "x",
    ]
    given_ = examples.OF_GATEWAY | {"candidates": [*bad, examples.CANDIDATES[0]]}

    message = read_from_portal("client", "ice_candidates", given_, ignored)

    assert message.payload()["candidates"] == examples.CANDIDATES[:1]
    assert ignored == ["4 candidates"]


def test_a_wrong_expiry_does_not_last_for_ever() -> None:
    for value in ("1900000000", 1.5, -1, True, {}):
        with pytest.raises(MessageRefused):
            read_from_portal(
                "gateway", "create_authorization", examples.GATEWAY_GRANT | {"expires_at": value}
            )


def test_peers_that_know_less_are_understood_and_not_copied() -> None:
    init = client_init(flow_logs=None)
    grant = changed(examples.GATEWAY_GRANT, ("flow_logs_ingest_token",))
    created = read_from_portal("gateway", "create_authorization", grant)

    for message in (init, created):
        with pytest.raises(MessageRefused, match="do without"):
            message.payload()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        examples.jwt(role="both"),
        examples.jwt(iat="1"),
        examples.jwt(resource_name=None),
        examples.jwt().rpartition(".")[0] + ".",
        examples.jwt() + "=",
    ],
)
def test_a_token_of_another_shape_is_not_sent(token: str) -> None:
    message = read_from_portal(
        "gateway",
        "create_authorization",
        examples.GATEWAY_GRANT | {"flow_logs_ingest_token": token},
    )

    with pytest.raises(MessageRefused):
        message.payload()


def test_what_was_put_together_past_the_checks_is_not_sent() -> None:
    good = read_from_portal("gateway", "create_authorization", examples.GATEWAY_GRANT)
    assert isinstance(good, CreateAuthorization)

    with pytest.raises(MessageRefused, match="expires_at"):
        good.model_copy(update={"expires_at": -1}).payload()
    with pytest.raises(ValueError, match="token_expired"):
        Disconnect(reason="of another kind")
    with pytest.raises(ValueError, match="backwards"):
        PortFilter(protocol="tcp", port_range_start=2, port_range_end=1)


def test_secrets_are_stars_wherever_a_message_is_shown() -> None:
    grant = read_from_portal("client", "authorization_created", examples.CLIENT_GRANT)
    worse = examples.CLIENT_GRANT | {"preshared_key": examples.PRESHARED_KEY + "x"}

    with pytest.raises(MessageRefused) as refused:
        read_from_portal("client", "authorization_created", worse)

    shown = repr(grant) + str(grant) + repr(refused.value)
    for secret in (examples.PRESHARED_KEY, examples.CLIENT_ICE["password"], examples.jwt()):
        assert secret not in shown


def test_messages_are_values() -> None:
    one: Message = read_from_portal("client", "init", examples.CLIENT_INIT)

    assert {one: 1}[read_from_portal("client", "init", examples.CLIENT_INIT)] == 1
