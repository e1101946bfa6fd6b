"""Authorizations: asked for, granted, acknowledged, told to both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.portal.world import NOW, World

from firezone.portal import events
from firezone.portal.derive import Side, ice_credentials, preshared_key
from firezone.portal.inputs import (
    ConditionsInput,
    DeviceChange,
    PolicyChange,
    PolicyInput,
    ResourceInput,
    SiteInput,
)
from firezone.portal.interface import Refused
from firezone.portal.model import ResourceKind
from firezone.portal.store import access, devices, network

if TYPE_CHECKING:
    from firezone.portal.store import Store


async def test_a_grant_goes_to_the_gateway_and_after_its_answer_to_the_client(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()
    told = {"client": await world.listen(client), "gateway": await world.listen(gateway)}

    ref = await world.store.authorize(client, world.resource.id, (), NOW)

    assert isinstance(ref, str)
    asked = events.AuthorizationRequested(gateway.device.id, ref)
    assert await world.seen(told["gateway"]) == [asked]
    assert await world.seen(told["client"]) == []
    assert await world.store.confirm(gateway, ref, NOW + 1)
    confirmed = events.AuthorizationConfirmed(client.device.id, ref)
    assert await world.seen(told["client"]) == [confirmed]

    grant = await world.store.grant(ref, NOW)
    assert grant is not None
    assert (grant.client.id, grant.gateway.id) == (client.device.id, gateway.device.id)
    assert grant.authorization.expires_at == client.identity.token.expires_at
    assert grant.resource.site == world.site
    here = Side(client.device.id, client.public_key, client.device.psk_base)
    there = Side(gateway.device.id, gateway.public_key, gateway.device.psk_base)
    assert grant.preshared_key == preshared_key(here, there)
    assert (grant.client_ice, grant.gateway_ice) == ice_credentials(here, there)
    assert grant.initiator_token.count(".") == grant.responder_token.count(".") == 2
    assert grant.initiator_token != grant.responder_token
    assert grant.preshared_key not in repr(grant)


async def test_a_further_grant_keeps_the_tunnel(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()
    async with world.change() as scope:
        given = ResourceInput(kind=ResourceKind.INTERNET, name="internet", site="main")
        await network.create_resource(scope, given)
        await access.create_policy(scope, PolicyInput(group="staff", resource="internet"))
        internet = await network.find_resource(scope, "internet")

    refs = [await world.granted(client, gateway, one) for one in (world.resource.id, internet.id)]
    grants = [await world.store.grant(ref, NOW) for ref in refs]

    assert grants[0] is not None
    assert grants[1] is not None
    assert grants[0].preshared_key == grants[1].preshared_key
    assert grants[0].client_ice == grants[1].client_ice
    held = await world.store.authorizations_of(gateway, NOW)
    assert {one.resource_id for one in held} == {world.resource.id, internet.id}


async def test_a_repeated_request_stands_in_the_place_of_the_first(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()

    first = await world.granted(client, gateway)
    second = await world.granted(client, gateway)

    assert first != second
    assert [one.id for one in await world.store.authorizations_of(gateway, NOW)] == [second]
    assert await world.store.grant(first, NOW) is None
    assert not await world.store.confirm(gateway, first, NOW)


async def test_only_the_gateway_that_was_asked_can_acknowledge(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()
    ref = await world.store.authorize(client, world.resource.id, (), NOW)
    assert isinstance(ref, str)
    other = await world.gateway("other", 101)

    assert not await world.store.confirm(other, ref, NOW)
    assert not await world.store.confirm(client, ref, NOW)
    assert not await world.store.confirm(gateway, "no such thing' OR 1=1", NOW)
    assert await world.store.confirm(gateway, ref, NOW)


async def test_why_there_is_none(world: World) -> None:
    client = await world.client()
    wiki = world.resource.id
    asks = PolicyChange(conditions=ConditionsInput(client_verified=True))

    assert await world.store.authorize(client, wiki, (), NOW) == Refused("offline")
    await world.gateway(version="1.9.0")
    assert await world.store.authorize(client, wiki, (), NOW) == Refused("version_mismatch")
    for unknown in ("", "x", "' OR 1=1 --", world.site.id):
        assert await world.store.authorize(client, unknown, (), NOW) == Refused("not_found")
    async with world.change() as scope:
        await access.change_policy(scope, world.policy.id, asks)
    refused = Refused("forbidden", ("client_verified",))
    assert await world.store.authorize(client, wiki, (), NOW) == refused
    async with world.change() as scope:
        await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))
    assert await world.store.authorize(client, wiki, (), NOW) == Refused("not_found")


async def test_a_session_whose_token_ended_is_granted_nothing(world: World) -> None:
    client, _ = await world.client(), await world.gateway()
    ends = client.identity.token.expires_at
    assert ends is not None

    assert await world.store.authorize(client, world.resource.id, (), ends) == Refused("not_found")


async def test_a_name_does_not_hide_what_has_it_as_its_id(world: World) -> None:
    async with world.change() as scope:
        main = await network.find_site(scope, "main")
        named = await network.create_site(scope, SiteInput(name=main.id))

        assert (await network.find_site(scope, main.id)).id == main.id
        assert (await network.find_site(scope, named.id)).id == named.id


async def test_the_gateway_is_one_of_the_resources_site(world: World) -> None:
    client = await world.client()
    async with world.change() as scope:
        await network.create_site(scope, SiteInput(name="branch"))
    _, secret = await world.token("gateway", site="branch")
    await world.gateway("elsewhere", 101, secret=secret)
    assert await world.store.authorize(client, world.resource.id, (), NOW) == Refused("offline")

    here = [await world.gateway(f"gw{number}", 102 + number) for number in range(3)]
    wanted = here[1].device.id
    for _ in range(5):
        ref = await world.store.authorize(client, world.resource.id, (wanted,), NOW)
        assert isinstance(ref, str)
        grant = await world.store.grant(ref, NOW)
        assert grant is not None
        assert grant.gateway.id == wanted


async def test_another_accounts_objects_are_out_of_reach(world: World, store: Store) -> None:
    rival = await World.make(store, "rival")
    mine, gateway = await world.client(), await world.gateway()
    theirs, their_gateway = await rival.client(), await rival.gateway()

    assert await store.authorize(mine, rival.resource.id, (), NOW) == Refused("not_found")
    ref = await world.granted(mine, gateway)
    assert not await store.confirm(their_gateway, ref, NOW)
    assert await store.gateway_resource(their_gateway, world.resource.id) is None
    assert not await store.may_signal(theirs, gateway.device.id, NOW)
    assert not await store.may_signal(their_gateway, mine.device.id, NOW)
    assert await store.authorizations_of(their_gateway, NOW) == ()


async def test_candidates_go_between_those_alone_whom_an_authorization_joins(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()
    other = await world.client("other", 2)
    assert not await world.store.may_signal(client, gateway.device.id, NOW)

    await world.granted(client, gateway)

    assert await world.store.may_signal(client, gateway.device.id, NOW)
    assert await world.store.may_signal(gateway, client.device.id, NOW)
    assert not await world.store.may_signal(other, gateway.device.id, NOW)
    assert not await world.store.may_signal(gateway, other.device.id, NOW)
    assert not await world.store.may_signal(client, other.device.id, NOW)


async def test_a_verified_client_loses_access_with_its_verification(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()
    asks = PolicyChange(conditions=ConditionsInput(client_verified=True))
    async with world.change() as scope:
        await access.change_policy(scope, world.policy.id, asks)
        await devices.change_device(scope, client.device.id, DeviceChange(verified=True))
    await world.granted(client, gateway)

    async with world.change() as scope:
        await devices.change_device(scope, client.device.id, DeviceChange(verified=False))

    assert await world.store.authorizations_of(gateway, NOW) == ()
    assert await world.store.view(client, NOW) == ()


@pytest.mark.parametrize("gone", ["client", "gateway"])
async def test_there_is_no_grant_for_who_has_left(world: World, gone: str) -> None:
    sessions = {"client": await world.client(), "gateway": await world.gateway()}
    ref = await world.granted(sessions["client"], sessions["gateway"])

    await world.store.leave(sessions[gone], NOW)

    assert await world.store.grant(ref, NOW) is None
    # It still holds: whoever comes back finds it.
    assert len(await world.store.authorizations_of(sessions["gateway"], NOW)) == 1
