"""Who is let in at the portal, how others are turned away, and how sessions end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from tests.portal.sessions.wire import Component, Portal, until
from tests.portal.world import NOW, World
from websockets.exceptions import InvalidStatus

from firezone.portal.database import DatabaseFailed
from firezone.portal.events import TokenRevoked
from firezone.portal.first import change_account
from firezone.portal.inputs import AccountChange
from firezone.portal.sessions import client as client_session
from firezone.portal.sessions.upgrade import BadConnectParams, hello_of, relay_addresses, token_of
from firezone.portal.store import devices, tokens
from firezone.signaling import messages as say

if TYPE_CHECKING:
    from firezone.portal.store import Store

CANDIDATE = "candidate:1 1 udp 2130706175 203.0.113.11 52625 typ host ufrag l37z"
AGENT = "Debian/12 headless-client/1.5.12 (x86_64; 6.1)"
KEY = "A" * 43 + "="


async def refused(component: Component) -> tuple[int, dict[str, Any], Any]:
    with pytest.raises(InvalidStatus) as answer:
        await component.begin()
    response = answer.value.response
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, json.loads(response.body or b"{}"), response.headers


async def test_a_token_must_be_there_and_of_the_kind(portal: Portal, world: World) -> None:
    _, of_gateway = await world.token("gateway")
    revoked, of_client = await world.token("client")
    async with world.change() as scope:
        await tokens.revoke_token(scope, revoked.id)
    for token, code in [
        (None, "missing_token"),
        ("canary", "invalid_token"),
        (of_gateway, "invalid_token"),
        (of_client, "invalid_token"),
    ]:
        status, problem, _ = await refused(Component(portal, "C", "client", token))
        assert (status, problem["code"]) == (401, code)
        assert "canary" not in json.dumps(problem)


async def test_who_says_nonsense_is_not_let_in(portal: Portal, world: World) -> None:
    _, token = await world.token("client")
    nameless = Component(portal, "C", "client", token, agent="curl/8.0")
    keyless = Component(portal, "C", "client", token)
    keyless.url = keyless.url.replace("public_key=", "key=")
    for wrong in (nameless, keyless):
        status, problem, _ = await refused(wrong)
        assert (status, problem["code"]) == (400, "invalid_connect_params")


async def test_a_database_that_fails_is_no_wrong_token(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await world.token("client")

    async def fail(*_given: object) -> None:
        raise DatabaseFailed("the disk is full")

    monkeypatch.setattr(world.store, "authenticate", fail)
    status, problem, headers = await refused(Component(portal, "C", "client", token))

    assert status == 503
    assert headers["Retry-After"] == "2"
    assert "disk" not in json.dumps(problem)


async def test_a_token_in_the_query_is_taken_of_the_old(portal: Portal, world: World) -> None:
    _, token = await world.token("client")
    old = Component(portal, "C", "client", None)
    old.url += f"&token={token}"
    async with old:
        await old.got(say.ClientInit)


async def test_a_revoked_token_signs_out(portal: Portal, world: World) -> None:
    made, token = await world.token("client")
    async with Component(portal, "C", "client", token) as c:
        async with world.change() as scope:
            await tokens.revoke_token(scope, made.id)
        await until(lambda: c.closed is not None)

    assert c.is_signed_out
    assert portal.frames()[-1] == ("P>C", "disconnect")


async def test_a_token_that_is_revoked_while_its_component_comes_in_signs_out(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, token = await world.token("client")
    connect = world.store.connect

    async def revoking(*given: Any) -> Any:
        begun = await connect(*given)
        async with world.change() as scope:
            await tokens.revoke_token(scope, made.id)
        return begun

    monkeypatch.setattr(world.store, "connect", revoking)
    async with Component(portal, "C", "client", token) as c:
        await until(lambda: c.closed is not None)

    assert c.is_signed_out
    assert ("P>C", "init") not in portal.frames()


async def test_an_expired_token_signs_out(portal: Portal, world: World) -> None:
    made, token = await world.token("client")
    async with Component(portal, "C", "client", token) as c:
        portal.now = float(made.expires_at or 0)
        c.send(say.NoRelays())
        await until(lambda: c.closed is not None)

    assert c.is_signed_out


async def test_a_relay_whose_token_ends_is_just_closed(portal: Portal, world: World) -> None:
    async with world.change() as scope:
        made, token = await tokens.create_relay_token(scope.connection, "relay", NOW)
    join = say.RelayJoin(stamp_secret=SecretStr("ab" * 32))
    r = Component(portal, "R", "relay", token, join=join, query=(("ipv4", "203.0.113.10"),))
    async with r:
        await r.got(say.RelayInit)
        await world.store.bus.publish(TokenRevoked(made))
        await until(lambda: r.closed is not None)

    assert r.closed == 1001
    assert not r.is_signed_out


async def test_a_deleted_device_comes_back_as_another(portal: Portal, world: World) -> None:
    _, token = await world.token("client")
    c = Component(portal, "C", "client", token)
    await c.begin()
    await c.got(say.ClientInit)
    async with world.change() as scope:
        (device,) = await devices.list_devices(scope)
        await devices.remove_devices(scope, device.id)
    await until(lambda: c.closed is not None)
    assert portal.frames()[-1] == ("P>C", "phx_close")

    await c.begin()
    await c.got(say.ClientInit, 2)
    async with world.change() as scope:
        (again,) = await devices.list_devices(scope)
    assert again.id != device.id
    await c.end()


async def test_nobody_serves_the_resource(portal: Portal, world: World) -> None:
    _, token = await world.token("client")
    async with Component(portal, "C", "client", token) as c:
        for resource, reason in [(world.resource.id, "offline"), (str(uuid4()), "not_found")]:
            c.send(say.RequestAuthorization(resource_id=resource))  # type: ignore[arg-type]
            await until(
                lambda wanted=reason: any(
                    each.reason == wanted for each in c.all(say.AuthorizationCreationFailed)
                )
            )


async def test_a_gateway_that_does_not_answer_is_offline(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_session, "AUTHORIZATION_PATIENCE", 0.2)
    _, of_gateway = await world.token("gateway")
    _, of_client = await world.token("client")
    async with (
        Component(portal, "G", "gateway", of_gateway, number=100) as g,
        Component(portal, "C", "client", of_client) as c,
    ):
        c.send(say.RequestAuthorization(resource_id=world.resource.id))  # type: ignore[arg-type]
        create = await g.got(say.CreateAuthorization)
        failed = await c.got(say.AuthorizationCreationFailed)
        assert failed.reason == "offline"
        # Late, and so without effect.
        g.send(say.GatewayAuthorizationCreated(ref=create.ref))
        await until(lambda: portal.frames("G")[-1] == ("P>G", "phx_reply"))
        c.send(say.NoRelays())
        await c.got(say.RelaysPresence)
        assert c.all(say.ClientAuthorizationCreated) == []


async def test_a_request_that_is_repeated_is_one(portal: Portal, world: World) -> None:
    _, of_gateway = await world.token("gateway")
    _, of_client = await world.token("client")
    async with (
        Component(portal, "G", "gateway", of_gateway, number=100) as g,
        Component(portal, "C", "client", of_client) as c,
    ):
        for _ in range(3):
            await c.raw(
                "request_authorization",
                {"resource_id": world.resource.id, "connected_gateway_ids": []},
            )
        create = await g.got(say.CreateAuthorization)
        g.send(say.GatewayAuthorizationCreated(ref=create.ref))
        await c.got(say.ClientAuthorizationCreated)

    assert portal.frames().count(("P>G", "create_authorization")) == 1


async def test_an_acknowledgement_of_another_is_refused(portal: Portal, world: World) -> None:
    _, token = await world.token("gateway")
    async with Component(portal, "G", "gateway", token, number=100) as g:
        await g.got(say.GatewayInit)
        for ref in ("?", str(uuid4())):
            g.send(say.GatewayAuthorizationCreated(ref=ref))
        await until(lambda: portal.frames().count(("P>G", "phx_reply")) == 3)

    replies = [
        payload for who, event, payload in portal.wire if (who, event) == ("P>G", "phx_reply")
    ]
    no = {"status": "error", "response": {"reason": "invalid_ref"}}
    assert replies[1:] == [no, no]


async def test_candidates_are_not_carried_between_strangers(portal: Portal, world: World) -> None:
    _, of_gateway = await world.token("gateway")
    _, of_client = await world.token("client")
    async with (
        Component(portal, "G", "gateway", of_gateway, number=100) as g,
        Component(portal, "C", "client", of_client) as c,
    ):
        async with world.change() as scope:
            found = {device.kind: device.id for device in await devices.list_devices(scope)}
        c.send(
            say.NewGatewayIceCandidates(gateway_id=found["gateway"], candidates=(CANDIDATE,))  # type: ignore[arg-type, index]
        )
        c.send(say.RequestAuthorization(resource_id=world.resource.id))  # type: ignore[arg-type]
        await g.got(say.CreateAuthorization)

    assert g.all(say.IceCandidatesOfClient) == []


async def test_what_is_not_known_is_answered_and_what_is_no_frame_closes(
    portal: Portal, world: World
) -> None:
    _, token = await world.token("client")
    async with Component(portal, "C", "client", token) as c:
        await c.raw("create_flow", {})
        await until(lambda: portal.frames().count(("P>C", "phx_reply")) == 2)
        assert portal.wire[-1][2]["response"] == {"reason": "unknown_message"}

        await c._websocket.send("nothing")
        await until(lambda: c.closed is not None)

    assert c.closed == 1007


async def test_the_resolver_of_an_account_changes(portal: Portal, world: World) -> None:
    _, token = await world.token("client")
    async with Component(portal, "C", "client", token) as c:
        await c.got(say.ClientInit)
        async with world.change() as scope:
            given = AccountChange(search_domain="corp.example", upstream_dns=["192.0.2.53"])  # type: ignore[list-item]
            await change_account(scope, given)
        changed = await c.got(say.ConfigChanged)

    assert changed.interface.search_domain == "corp.example"
    assert [str(one.ip) for one in changed.interface.upstream_do53] == ["192.0.2.53"]


async def test_a_session_that_fails_ends_alone(
    portal: Portal, world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, of_client = await world.token("client")
    _, of_gateway = await world.token("gateway")
    async with (
        Component(portal, "G", "gateway", of_gateway, number=100) as g,
        Component(portal, "C", "client", of_client) as c,
    ):

        async def fail(*_given: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(store, "authorize", fail)
        c.send(say.RequestAuthorization(resource_id=world.resource.id))  # type: ignore[arg-type]
        await until(lambda: c.closed is not None)
        g.send(say.NoRelays())
        await g.got(say.RelaysPresence)

    assert c.closed == 1012


def test_where_a_token_is() -> None:
    assert token_of({"x-authorization": "Bearer  abc "}, {"token": "old"}) == "abc"
    assert token_of({"x-authorization": "Basic abc"}, {"token": "old"}) == "old"
    assert token_of({"authorization": "Bearer abc"}, {}) is None


def test_what_a_component_says_of_itself() -> None:
    query = {"firezone_id": "id", "name": "laptop", "public_key": KEY}

    hello = hello_of({"user-agent": AGENT}, query, "::ffff:192.0.2.7", needs_version=True)

    assert (hello.external_id, hello.version, str(hello.remote_ip)) == ("id", "1.5.12", "192.0.2.7")
    assert hello_of({}, query, "testclient", needs_version=False).version is None


@pytest.mark.parametrize(
    "change",
    [
        {"firezone_id": ""},
        {"firezone_id": "x" * 256},
        {"name": ""},
        {"name": "a\u202eb"},
        {"public_key": "A" * 44},
        {"public_key": ""},
    ],
)
def test_what_it_may_not_say(change: dict[str, str]) -> None:
    query = {"firezone_id": "id", "name": "laptop", "public_key": KEY}

    with pytest.raises(ValueError, match="must"):
        hello_of({"user-agent": AGENT}, query | change, None, needs_version=True)


def test_where_a_relay_is() -> None:
    both = {"ipv4": "203.0.113.10", "ipv6": "2001:db8::10"}
    assert relay_addresses(both) == ("203.0.113.10:3478", "[2001:db8::10]:3478")
    assert relay_addresses({"ipv6": "2001:db8::10", "port": "443"}) == ("[2001:db8::10]:443",)
    for wrong in ({}, both | {"port": "0"}, both | {"port": "x"}, {"ipv4": "2001:db8::10"}):
        with pytest.raises(ValueError, match="must"):
            relay_addresses(wrong)


@pytest.mark.parametrize(
    "wrong", [{"port": "0000019999999"}, {"port": "9" * 5000}, {"ipv6": "fe80::1%eth0"}]
)
def test_a_relay_is_not_let_in_with_what_nobody_could_be_told(wrong: dict[str, str]) -> None:
    with pytest.raises(BadConnectParams):
        relay_addresses({"ipv6": "2001:db8::10"} | wrong)
