"""Devices, sessions and what Clients see."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update
from tests.portal.world import NOW, World

from firezone.portal.addresses import IPV4, IPV6, LAST_HOST, RESERVED, addresses
from firezone.portal.database import Conflict, DatabaseFailed, NotFound
from firezone.portal.derive import GATEWAY_TURN_EXPIRY, relay_id
from firezone.portal.events import DeviceRemoved, SessionReplaced, TokenRevoked, token_topic
from firezone.portal.inputs import (
    ConditionsInput,
    DeviceChange,
    PolicyChange,
    ResourceInput,
    UserChange,
)
from firezone.portal.interface import TokenRefused
from firezone.portal.model import ResourceKind, TokenKind
from firezone.portal.store import Store, access, devices, network, people, tokens
from firezone.portal.tables import accounts
from firezone.portal.tables import tokens as tokens_table


async def test_a_device_keeps_its_id_and_addresses_over_its_sessions(world: World) -> None:
    first = await world.client(number=1)
    again = await world.client(number=2)
    other = await world.client("phone", number=3)

    assert again.device.id == first.device.id
    assert (again.device.ipv4, again.device.ipv6) == (first.device.ipv4, first.device.ipv6)
    assert again.device.psk_base == first.device.psk_base
    assert len(first.device.psk_base) == 32
    assert again.public_key != first.public_key
    assert other.device.id != first.device.id
    assert other.device.ipv4 != first.device.ipv4


async def test_the_same_external_id_of_another_user_or_site_is_another_device(world: World) -> None:
    mine = await world.client("laptop")
    _, secret = await world.token("client", user="root@example.net")
    theirs = await world.client("laptop", secret=secret)
    gateway = await world.gateway("laptop")

    assert len({mine.device.id, theirs.device.id, gateway.device.id}) == 3


async def test_the_newest_session_wins_and_the_older_one_is_told(world: World) -> None:
    first = await world.client()
    told = await world.listen(first)

    second = await world.client()
    await world.store.leave(first, NOW)

    assert await world.seen(told) == [SessionReplaced(first.device.id, second.id)]
    async with world.change() as scope:
        assert (await devices.find_device(scope, first.device.id)).online
    await world.store.leave(second, NOW)
    async with world.change() as scope:
        assert not (await devices.find_device(scope, first.device.id)).online


def test_no_address_is_reserved() -> None:
    for host in (1, 2, 2**20, LAST_HOST):
        ipv4, ipv6 = addresses(host)
        assert ipv4 in IPV4
        assert ipv6 in IPV6
    for reserved in RESERVED:
        assert not reserved.overlaps(IPV4 if reserved.version == 4 else IPV6)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no number"):
        addresses(0)
    with pytest.raises(ValueError, match="no number"):
        addresses(LAST_HOST + 1)


async def test_addresses_are_handed_out_in_turn_and_not_soon_again(world: World) -> None:
    first = await world.client("a", 1)
    second = await world.client("b", 2)
    async with world.change() as scope:
        await devices.remove_devices(scope, second.device.id)
    third = await world.client("c", 3)
    async with world.change() as scope:
        await scope.run(
            update(accounts).where(accounts.c.id == scope.account).values(next_host=LAST_HOST)
        )
    last = await world.client("d", 4)
    wrapped = await world.client("e", 5)

    assert [int(s.device.ipv4) - int(IPV4[0]) for s in (first, third, last, wrapped)] == [
        1,
        3,
        LAST_HOST,
        2,
    ]


async def test_devices_that_come_at_once_get_addresses_of_their_own(world: World) -> None:
    _, secret = await world.token("client")

    sessions = await asyncio.gather(
        *(world.client(f"device {n}", n, secret=secret) for n in range(40))
    )

    assert len({session.device.ipv4 for session in sessions}) == 40
    assert len({session.device.ipv6 for session in sessions}) == 40


@pytest.mark.parametrize("kind", ["client", "gateway", "api"])
async def test_a_token_is_of_its_kind_alone(world: World, kind: str) -> None:
    owner = {"user": "root@example.net"} if kind == "api" else {}
    _, secret = await world.token(kind, **owner)

    for other in TokenKind:
        if other.value == kind:
            assert (await world.store.authenticate(secret, other, NOW)).token.kind is other
        else:
            with pytest.raises(TokenRefused) as refused:
                await world.store.authenticate(secret, other, NOW)
            assert refused.value.code == "invalid_token"


@pytest.mark.parametrize(
    "token", [None, "", "fzc_wrong", "x" * 100_000, "' OR 1=1 --", "\x00", "é"]
)
async def test_what_is_no_token_is_refused(world: World, token: str | None) -> None:
    with pytest.raises(TokenRefused) as refused:
        await world.store.authenticate(token, TokenKind.CLIENT, NOW)

    assert refused.value.code == ("invalid_token" if token else "missing_token")


async def test_a_token_ends_to_the_second(world: World) -> None:
    _, secret = await world.token("client", lifetime=3600)

    assert await world.store.authenticate(secret, TokenKind.CLIENT, NOW + 3599)
    with pytest.raises(TokenRefused):
        await world.store.authenticate(secret, TokenKind.CLIENT, NOW + 3600)


async def test_a_token_is_kept_as_its_digest_alone(world: World) -> None:
    _, secret = await world.token("client")

    async with world.change() as scope:
        rows = await scope.rows(select(tokens_table))

    assert rows
    assert all(secret not in str(row) for row in rows)


async def test_a_revoked_token_is_refused_and_its_sessions_are_told(world: World) -> None:
    token, secret = await world.token("client")
    client = await world.client(secret=secret)
    told = await world.listen(client)

    async with world.change() as scope:
        await tokens.revoke_token(scope, token.id)

    assert await world.seen(told) == [TokenRevoked(token.id)]
    with pytest.raises(TokenRefused):
        await world.store.authenticate(secret, TokenKind.CLIENT, NOW)


async def test_a_disabled_user_is_signed_out_everywhere(world: World) -> None:
    token, secret = await world.token("client")
    client = await world.client(secret=secret)
    told = await world.listen(client)

    async with world.change() as scope:
        await people.change_user(scope, world.user.id, UserChange(disabled=True))

    assert TokenRevoked(token.id) in await world.seen(told)
    with pytest.raises(TokenRefused):
        await world.store.authenticate(secret, TokenKind.CLIENT, NOW)
    # Enabled again, they need new tokens.
    async with world.change() as scope:
        await people.change_user(scope, world.user.id, UserChange(disabled=False))
    with pytest.raises(TokenRefused):
        await world.store.authenticate(secret, TokenKind.CLIENT, NOW)


async def test_a_token_of_one_gateway_is_no_other_ones(world: World) -> None:
    gateway = await world.gateway("first")
    _, secret = await world.token("gateway", device=gateway.device.id)

    assert (await world.gateway("first", secret=secret)).device.id == gateway.device.id
    with pytest.raises(Conflict, match="another Gateway's"):
        await world.gateway("second", secret=secret)


async def test_a_deleted_device_is_told_and_comes_back_as_another(world: World) -> None:
    _, secret = await world.token("client")
    client = await world.client(secret=secret)
    told = await world.listen(client)

    async with world.change() as scope:
        await devices.remove_devices(scope, client.device.id)

    assert await world.seen(told) == [DeviceRemoved(client.device.id)]
    again = await world.client(secret=secret)
    assert again.device.id != client.device.id
    assert again.device.psk_base != client.device.psk_base


async def test_a_client_sees_what_a_policy_allows_and_a_site_serves(world: World) -> None:
    client = await world.client()
    async with world.change() as scope:
        await network.create_resource(
            scope,
            ResourceInput(kind=ResourceKind.CIDR, name="lab", address="10.0.0.0/8", site="main"),
        )

    assert [one.name for one in await world.store.view(client, NOW)] == ["wiki"]
    assert (await world.store.view(client, NOW))[0].site == world.site

    async with world.change() as scope:
        await network.delete_site(scope, world.site.id)
    assert await world.store.view(client, NOW) == ()


async def test_many_who_ask_at_once_each_see_their_own(world: World) -> None:
    _, secret = await world.token("client")
    _, of_root = await world.token("client", user="root@example.net")
    anns = [await world.client(f"a{n}", n, secret=secret) for n in range(4)]
    root = await world.client("root", 9, secret=of_root)
    async with world.change() as scope:
        await devices.remove_devices(scope, anns[0].device.id)

    seen = await asyncio.gather(
        *(world.store.view(session, NOW) for session in (*anns, root)), world.store.view(root, NOW)
    )

    assert [len(one) for one in seen] == [0, 1, 1, 1, 0, 0]


async def test_a_database_that_fails_is_told_to_all_who_ask(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.client()

    def fail(*_given: object) -> None:
        raise DatabaseFailed("it is gone")

    monkeypatch.setattr(world.store.database, "read", fail)
    asked = [world.store.view(client, NOW) for _ in range(3)]
    told = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in told] == [DatabaseFailed] * 3


async def test_a_policy_for_verified_clients_shows_nothing_to_others(world: World) -> None:
    client = await world.client()
    asks = PolicyChange(conditions=ConditionsInput(client_verified=True))
    async with world.change() as scope:
        await access.change_policy(scope, world.policy.id, asks)

    assert await world.store.view(client, NOW) == ()
    async with world.change() as scope:
        await devices.change_device(scope, client.device.id, DeviceChange(verified=True))
    assert len(await world.store.view(client, NOW)) == 1


async def test_another_account_shares_nothing(world: World) -> None:
    other = await World.make(world.store, "rival")
    mine, theirs = await world.client(), await other.client()

    assert mine.device.id != theirs.device.id
    # Addresses are unique within an account alone.
    assert mine.device.ipv4 == theirs.device.ipv4
    assert [one.id for one in await world.store.view(mine, NOW)] == [world.resource.id]
    assert [one.id for one in await other.store.view(theirs, NOW)] == [other.resource.id]


async def test_relays_are_told_of_with_the_peers_credentials(store: Store, world: World) -> None:
    async with store.database.wide(NOW) as scope:
        _, secret = await tokens.create_relay_token(scope.connection, "relay", NOW)
    client, gateway = await world.client(), await world.gateway()
    identity = await store.authenticate(secret, TokenKind.RELAY, NOW)
    both = ("203.0.113.10:3478", "[2001:db8::a]:3478")
    relay = await store.join_relay(identity, "ab" * 32, both, NOW)

    told = [await store.relays(session, NOW) for session in (client, gateway)]
    assert relay == relay_id("ab" * 32)
    assert [one.address for one in told[0]] == list(both)
    assert told[0][0].credentials == told[0][1].credentials
    assert told[0][0].credentials.expires_at == client.identity.token.expires_at
    assert told[1][0].credentials.expires_at == GATEWAY_TURN_EXPIRY
    assert told[0][0].credentials.username != told[1][0].credentials.username

    await store.leave_relay(relay, NOW)
    assert await store.relays(client, NOW) == ()


async def test_a_revoked_relay_token_is_refused_and_its_relay_is_told(
    store: Store, world: World
) -> None:
    async with store.database.wide(NOW) as scope:
        token, secret = await tokens.create_relay_token(scope.connection, "relay", NOW)
    with store.bus.subscribe(token_topic(token)) as told:
        async with world.change() as scope:
            # Accounts share relays: none of them ends one by itself.
            with pytest.raises(NotFound):
                await tokens.revoke_token(scope, token)
            assert token not in [one.id for one in await tokens.list_tokens(scope)]
            revoked = await tokens.revoke_relay_token(scope, token)
            assert await tokens.revoke_relay_token(scope, world.user.id) is None

        assert revoked is not None
        assert revoked.revoked_at == NOW
        assert await world.seen(told) == [TokenRevoked(token)]
    with pytest.raises(TokenRefused):
        await store.authenticate(secret, TokenKind.RELAY, NOW)
