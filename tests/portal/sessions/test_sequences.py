"""What goes over the wires from a start to a revocation, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import delete
from tests.portal.sessions.wire import Component, Portal, serving, until
from tests.portal.world import NOW, World
from tests.unit.signaling import strict_peer

from firezone.portal.derive import relay_id
from firezone.portal.events import EVERYBODY, RelaysChanged
from firezone.portal.inputs import GroupInput, PolicyChange, PolicyInput, ResourceChange
from firezone.portal.sessions import relay_list
from firezone.portal.store import Store, access, network, people, tokens
from firezone.portal.tables import authorizations
from firezone.signaling import messages as say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

CANDIDATE = "candidate:1 1 udp 2130706175 203.0.113.11 52625 typ host ufrag l37z"
SECRETS = [f"{number:02d}" * 32 for number in range(3)]


@pytest.fixture(autouse=True)
def strict(portal: Portal) -> Iterator[None]:
    """Hold all that the portal has said against a strict peer, in the end."""
    yield
    assert portal.logged == []
    roles = {"C": "client", "G": "gateway", "R": "relay"}
    for who, event, payload in portal.wire:
        if who.startswith("P>") and not event.startswith("phx_"):
            shape = strict_peer.FROM_PORTAL[roles[who[2]], event]
            assert strict_peer.accepts(shape, payload), (who, event)


async def client(portal: Portal, world: World, number: int = 1) -> Component:
    _, token = await world.token("client")
    return Component(portal, "C", "client", token, number=number)


async def gateway(portal: Portal, world: World, number: int = 100) -> Component:
    _, token = await world.token("gateway")
    return Component(portal, "G", "gateway", token, number=number)


async def relay(portal: Portal, world: World, secret: str, name: str = "R") -> Component:
    async with world.change() as scope:
        _, token = await tokens.create_relay_token(scope.connection, f"relay {secret[:4]}", NOW)
    query = (("ipv4", "203.0.113.10"), ("ipv6", "2001:db8::10"), ("port", "3478"))
    join = say.RelayJoin(stamp_secret=SecretStr(secret))
    return Component(portal, name, "relay", token, join=join, query=query)


async def granted(c: Component, g: Component, world: World) -> say.ClientAuthorizationCreated:
    """Let a Client ask, and the Gateway say yes."""
    before = len(c.all(say.ClientAuthorizationCreated))
    asked = len(g.all(say.CreateAuthorization))
    c.send(say.RequestAuthorization(resource_id=world.resource.id))  # type: ignore[arg-type]
    create = await g.got(say.CreateAuthorization, asked + 1)
    g.send(say.GatewayAuthorizationCreated(ref=create.ref))
    return await c.got(say.ClientAuthorizationCreated, before + 1)


def payload_of(portal: Portal, who: str, event: str) -> Any:
    return [payload for one, name, payload in portal.wire if (one, name) == (who, event)][-1]


async def test_a_client_starts(portal: Portal, world: World) -> None:
    async with await client(portal, world) as c:
        c.send(say.SetSnownetCapabilities(iceless=False))
        init = await c.got(say.ClientInit)
        await until(lambda: ("C", "set_snownet_capabilities") in portal.frames())

    assert sorted(portal.frames()) == sorted(
        [
            ("C", "phx_join"),
            ("P>C", "phx_reply"),
            ("P>C", "init"),
            ("C", "set_snownet_capabilities"),
        ]
    )
    assert portal.frames()[:2] == [("C", "phx_join"), ("P>C", "phx_reply")]
    assert payload_of(portal, "P>C", "phx_reply") == {"status": "ok", "response": {}}
    (resource,) = init.resources
    assert isinstance(resource, say.ClientDnsResource)
    assert str(resource.id) == world.resource.id
    assert init.flow_logs is not None
    assert init.flow_logs.upload_interval_secs == 0


async def test_the_first_packet_to_a_resource(portal: Portal, world: World) -> None:
    async with await gateway(portal, world) as g, await client(portal, world) as c:
        await c.got(say.ClientInit)
        await g.got(say.GatewayInit)
        portal.wire.clear()

        created = await granted(c, g, world)
        create = await g.got(say.CreateAuthorization)
        c.send(say.NewGatewayIceCandidates(gateway_id=created.gateway_id, candidates=(CANDIDATE,)))
        await g.got(say.IceCandidatesOfClient)
        g.send(say.BroadcastIceCandidates(client_ids=(create.client.id,), candidates=(CANDIDATE,)))
        candidates = await c.got(say.IceCandidatesOfGateway)

    assert portal.frames("C") == [
        ("C", "request_authorization"),
        ("P>C", "authorization_created"),
        ("C", "new_gateway_ice_candidates"),
        ("P>C", "ice_candidates"),
    ]
    assert portal.frames("G") == [
        ("P>G", "create_authorization"),
        ("G", "authorization_created"),
        ("P>G", "phx_reply"),
        ("P>G", "ice_candidates"),
        ("G", "broadcast_ice_candidates"),
    ]
    order = portal.frames()
    assert order.index(("G", "authorization_created")) < order.index(
        ("P>C", "authorization_created")
    )
    assert candidates.gateway_id == created.gateway_id
    assert candidates.candidates == (CANDIDATE,)
    told, given = created.payload(), create.payload()
    assert told["preshared_key"] == given["client"]["preshared_key"]
    for side in ("client_ice_credentials", "gateway_ice_credentials"):
        assert told[side] == given[side]
    assert (created.use_iceless, create.use_iceless) == (False, False)


async def test_what_a_gateway_sends_at_once_does_not_overtake_the_answer(
    portal: Portal, world: World
) -> None:
    async with await gateway(portal, world) as g, await client(portal, world) as c:
        c.send(say.RequestAuthorization(resource_id=world.resource.id))  # type: ignore[arg-type]
        create = await g.got(say.CreateAuthorization)
        g.send(say.GatewayAuthorizationCreated(ref=create.ref))
        g.send(say.BroadcastIceCandidates(client_ids=(create.client.id,), candidates=(CANDIDATE,)))
        await c.got(say.IceCandidatesOfGateway)

    assert portal.frames("C")[-2:] == [
        ("P>C", "authorization_created"),
        ("P>C", "ice_candidates"),
    ]


async def test_access_ends_with_the_policy(portal: Portal, world: World) -> None:
    async with await gateway(portal, world) as g, await client(portal, world) as c:
        await granted(c, g, world)
        portal.wire.clear()

        async with world.change() as scope:
            await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))
        rejected = await g.got(say.RejectAccess)
        deleted = await c.got(say.ResourceDeleted)

        assert str(rejected.resource_id) == str(deleted.id) == world.resource.id
        assert sorted(portal.frames()) == [("P>C", "resource_deleted"), ("P>G", "reject_access")]
        c.send(say.RequestAuthorization(resource_id=world.resource.id))  # type: ignore[arg-type]
        failed = await c.got(say.AuthorizationCreationFailed)
        assert failed.reason == "not_found"

        async with world.change() as scope:
            await access.change_policy(scope, world.policy.id, PolicyChange(disabled=False))
        await c.got(say.ResourceCreatedOrUpdated)
        await granted(c, g, world)


async def test_what_is_still_seen_is_told_of_anew(portal: Portal, world: World) -> None:
    async with world.change() as scope:
        other = await people.create_group(scope, GroupInput(name="others"))
        await people.join_group(scope, other.id, world.user.id)
    async with await gateway(portal, world) as g, await client(portal, world) as c:
        await granted(c, g, world)
        async with world.change() as scope:
            await access.create_policy(scope, PolicyInput(group="others", resource="wiki"))
        portal.wire.clear()

        async with world.change() as scope:
            await access.delete_policy(scope, world.policy.id)
        await c.got(say.ResourceCreatedOrUpdated)
        await g.got(say.RejectAccess)

        assert portal.frames("C") == [
            ("P>C", "resource_deleted"),
            ("P>C", "resource_created_or_updated"),
        ]
        await granted(c, g, world)


async def test_filters_change_in_place(portal: Portal, world: World) -> None:
    async with await gateway(portal, world) as g, await client(portal, world) as c:
        await granted(c, g, world)
        portal.wire.clear()

        async with world.change() as scope:
            given = ResourceChange(filters=["tcp/443"])  # type: ignore[arg-type]
            await network.change_resource(scope, world.resource.id, given)
        updated = await g.got(say.ResourceUpdated)
        await c.got(say.ResourceCreatedOrUpdated)

        assert sorted(portal.frames()) == [
            ("P>C", "resource_created_or_updated"),
            ("P>G", "resource_updated"),
        ]
        assert updated.payload()["filters"] == [
            {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443}
        ]


async def test_a_portal_restarts(portal: Portal, world: World) -> None:
    g, c = await gateway(portal, world), await client(portal, world)
    await g.begin()
    await c.begin()
    created = await granted(c, g, world)

    await portal.stop()
    await until(lambda: g.closed is not None and c.closed is not None)
    await portal.start()
    await g.begin()
    await c.begin()

    again = await g.got(say.GatewayInit, 2)
    await c.got(say.ClientInit, 2)
    assert (g.closed, c.closed) == (None, None)
    assert [str(each.resource_id) for each in again.authorizations] == [world.resource.id]
    first, second = c.all(say.ClientInit)
    assert first == second
    # Same keys, same tunnel.
    assert (await granted(c, g, world)).preshared_key == created.preshared_key
    await g.end()
    await c.end()


async def gone(world: World, relay_: Component, client_: Component) -> None:
    """Let a Relay go, and wait until the session of a Client has taken note."""
    with world.store.bus.subscribe(EVERYBODY) as listening:
        await relay_.end()
        while not isinstance(await listening.next(), RelaysChanged):
            pass
    replies = client_.portal.frames().count(("P>C", "phx_reply"))
    await client_.raw("create_flow", {})
    await until(lambda: client_.portal.frames().count(("P>C", "phx_reply")) > replies)


async def test_a_relay_comes_and_restarts(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_list, "DEBOUNCE", 0.0)
    async with await client(portal, world) as c, await gateway(portal, world) as g:
        assert (await c.got(say.ClientInit)).relays == ()
        await g.got(say.GatewayInit)
        r = await relay(portal, world, SECRETS[0])
        await r.begin()
        await r.got(say.RelayInit)
        first = await c.got(say.RelaysPresence)
        await g.got(say.RelaysPresence)
        assert [str(one.id) for one in first.connected] == [relay_id(SECRETS[0])] * 2
        assert [one.addr for one in first.connected] == ["203.0.113.10:3478", "[2001:db8::10]:3478"]

        monkeypatch.setattr(relay_list, "DEBOUNCE", 1000.0)
        await gone(world, r, c)
        monkeypatch.setattr(relay_list, "DEBOUNCE", 0.0)
        async with await relay(portal, world, SECRETS[1]):
            second = await c.got(say.RelaysPresence, 2)

        assert list(map(str, second.disconnected_ids)) == [relay_id(SECRETS[0])]
        assert {str(one.id) for one in second.connected} == {relay_id(SECRETS[1])}


async def test_a_relay_that_only_lost_its_socket_is_not_told_of(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_list, "DEBOUNCE", 1000.0)
    async with await relay(portal, world, SECRETS[0]) as r, await client(portal, world) as c:
        await r.got(say.RelayInit)
        first = await c.got(say.ClientInit)
        await gone(world, r, c)
        await r.begin()
        await r.got(say.RelayInit, 2)
        monkeypatch.setattr(relay_list, "DEBOUNCE", 0.0)
        async with await relay(portal, world, SECRETS[1]):
            presence = await c.got(say.RelaysPresence)
            # Asked for, they are there at once, with the credentials that they had.
            c.send(say.NoRelays())
            asked = await c.got(say.RelaysPresence, 2)

    assert presence.disconnected_ids == ()
    assert set(first.relays) <= set(presence.connected)
    assert set(first.relays) <= set(asked.connected)


async def test_a_gateway_restarts_with_a_new_key(portal: Portal, world: World) -> None:
    _, token = await world.token("gateway")
    old = Component(portal, "G", "gateway", token, number=100)
    new = Component(portal, "G", "gateway", token, number=101)
    async with await client(portal, world) as c, old:
        first = await granted(c, old, world)
        async with new:
            await until(lambda: old.closed is not None)
            assert not old.is_signed_out
            second = await granted(c, new, world)

    assert first.gateway_id == second.gateway_id
    assert first.gateway_public_key != second.gateway_public_key
    assert first.preshared_key != second.preshared_key
    assert first.client_ice_credentials != second.client_ice_credentials


async def test_the_newest_session_of_a_client_wins(portal: Portal, world: World) -> None:
    _, token = await world.token("client")
    old = Component(portal, "C", "client", token, number=1)
    async with old, Component(portal, "C", "client", token, number=2) as new:
        await until(lambda: old.closed is not None)
        await new.got(say.ClientInit)
        assert not old.is_signed_out
        assert new.closed is None


async def test_when_events_may_be_lost_everybody_starts_anew(portal: Portal, world: World) -> None:
    g, c = await gateway(portal, world), await client(portal, world)
    await g.begin()
    await c.begin()
    await granted(c, g, world)

    # As if the portal had not heard of it: access is gone, and nobody was told.
    async with world.store.database.wide(NOW) as scope:
        await scope.run(delete(authorizations))
    world.store.bus.missed()
    await until(lambda: c.closed is not None and g.closed is not None)

    assert (c.closed, g.closed) == (1012, 1012)
    assert portal.frames("C")[-2:] == [
        ("P>C", "resource_deleted"),
        ("P>C", "resource_created_or_updated"),
    ]
    await g.begin()
    await c.begin()
    assert (await g.got(say.GatewayInit, 2)).authorizations == ()
    await granted(c, g, world)
    await g.end()
    await c.end()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_two_portals_serve_one_database(url: str, store: Store, world: World) -> None:
    other = await Store.open(url)
    log: FilteringBoundLogger = structlog.wrap_logger(None, processors=[_drop]).bind()
    async with (
        other.running(log, lambda: NOW) as keeping,
        serving(store) as here,
        serving(other) as there,
        await gateway(here, world) as g,
        await client(there, world) as c,
    ):
        await keeping.ready()
        created = await granted(c, g, world)
        c.send(say.NewGatewayIceCandidates(gateway_id=created.gateway_id, candidates=(CANDIDATE,)))
        await g.got(say.IceCandidatesOfClient)
        async with world.change() as scope:
            await access.delete_policy(scope, world.policy.id)
        await g.got(say.RejectAccess)
        await c.got(say.ResourceDeleted)

        newer = Component(here, "C", "client", None, number=2)
        newer.headers = c.headers
        async with newer:
            await until(lambda: c.closed is not None)
            assert not c.is_signed_out
    await other.close()


def _drop(*_event: object) -> None:
    raise structlog.DropEvent
