"""The connection against real servers on loopback, good ones and bad ones."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.signaling import examples
from tests.unit.signaling.scripted_portal import (
    OK,
    Portal,
    component,
    eventually,
    good,
    joins,
    kinds,
    response,
    running,
    saying,
    until,
)

from firezone.errors import AccessDenied, AuthError, PortalUnreachable
from firezone.signaling import backoff, channel, connection, dial
from firezone.signaling.channel import Joined, Passed, Received
from firezone.signaling.connection import Happening, Offline
from firezone.signaling.messages import (
    NewGatewayIceCandidates,
    NoRelays,
    ResourceDeleted,
    SetSnownetCapabilities,
)

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

pytestmark = pytest.mark.usefixtures("soon")
CANDIDATES = NewGatewayIceCandidates(gateway_id=examples.GATEWAY_ID, candidates=examples.CANDIDATES)


async def test_a_component_asks_and_joins() -> None:
    async with running(Portal(good)) as portal:
        held = component(portal)
        seen = await until(held, lambda seen: isinstance(seen[-1], Received))

    (request,) = portal.requests
    assert seen == [Joined(), Received(ResourceDeleted(id=examples.DNS_ID))]
    assert request.path.startswith("/x/client/v2/websocket?external_id=id&name=laptop&public_key=")
    assert request.headers["X-Authorization"] == "Bearer canary-token"
    assert request.headers.get_all("Host") == ["127.0.0.1"]
    assert "headless-client/" in request.headers.get_all("User-Agent")[0]
    for absent in ("Origin", "Authorization", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
        assert absent not in request.headers


async def test_what_is_said_goes_out_once_joined() -> None:
    async with running(Portal(good)) as portal:
        held = component(portal)
        running_ = asyncio.create_task(
            held.run(lambda event: held.send(NoRelays()) if event == Joined() else None)
        )
        held.send(SetSnownetCapabilities(iceless=False))
        await eventually(lambda: len(portal.said) == 3)
        held.close()
        await running_

    assert portal.said == ["phx_join", "set_snownet_capabilities", "no_relays"]


@pytest.mark.parametrize("code", ["invalid_token", "missing_token", "other"])
async def test_a_refused_token_ends_it(code: str) -> None:
    refused = response(401, json.dumps({"code": code, "detail": "no"}).encode())
    async with running(Portal(refused)) as portal:
        with pytest.raises(AuthError, match=f"401 {code}: no") as ended:
            await component(portal).run(lambda _: None)

    assert ("sign in" in str(ended.value.hint)) == (code != "other")
    assert len(portal.requests) == 1


@pytest.mark.parametrize("status", [302, 400, 403, 409, 429, 500, 503])
async def test_other_answers_are_tried_again(status: int) -> None:
    async with running(Portal(response(status, Location="/elsewhere"), good)) as portal:
        seen = await until(component(portal), joins(1))

    assert kinds(seen) == ["Offline", "Joined"]
    assert all("/elsewhere" not in request.path for request in portal.requests)


async def test_a_portal_says_when_and_that_costs_no_patience() -> None:
    later = response(503, **{"Retry-After": "0"})
    async with running(Portal(*[later] * 40, good)) as portal:
        seen = await until(component(portal), joins(1))

    assert seen[:-1] == [Offline("the portal answered 503", 0.0)] * 40


async def test_a_portal_that_was_never_there_is_given_up() -> None:
    async with running(Portal(response(500))) as portal:
        with pytest.raises(PortalUnreachable, match="500"):
            await component(portal).run(lambda _: None)

    assert 9 <= len(portal.requests) <= 12


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        portal = Portal(good)
        portal.port = free.getsockname()[1]
    with pytest.raises(PortalUnreachable, match=r"127\.0\.0\.1"):
        await component(portal).run(lambda _: None)


async def test_after_a_join_a_partition_may_end_it() -> None:
    async with running(Portal(saying(OK, close=1012))) as portal:
        with pytest.raises(PortalUnreachable):
            await component(portal, partition=0.0).run(lambda _: None)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000])
async def test_any_close_is_followed_by_another_try(code: int) -> None:
    async with running(Portal(saying(OK, close=code), good)) as portal:
        seen = await until(component(portal), joins(2))

    assert kinds(seen)[:3] == ["Joined", "Offline", "Joined"]


@pytest.mark.parametrize(
    "bad",
    [
        saying('{"topic":"client","event":"phx_close","payload":{},"ref":null}'),
        saying('{"topic":"client","ev'),
        saying("x" * 20_000),
    ],
)
async def test_a_broken_connection_is_followed_by_another(
    bad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "LARGEST_FRAME", 10_000)
    async with running(Portal(bad, good)) as portal:
        seen = await until(component(portal), joins(1))

    assert kinds(seen)[:2] == ["Offline", "Joined"]


async def test_malformed_frames_are_passed_over() -> None:
    act = saying(OK, "nothing", b"\x00\x01", '[null,"0","client","init",{}]')
    async with running(Portal(act)) as portal:
        seen = await until(component(portal), lambda seen: len(seen) == 3)

    assert kinds(seen) == ["Joined", "Passed", "Passed"]
    assert isinstance(seen[1], Passed)


async def test_a_refused_join_ends_it() -> None:
    no = OK.replace('"ok","response":{}', '"error","response":{"reason":"disabled"}')
    async with running(Portal(saying(no))) as portal:
        with pytest.raises(AccessDenied, match="disabled"):
            await component(portal).run(lambda _: None)

    assert len(portal.requests) == 1


async def test_an_expired_token_ends_a_session() -> None:
    over = '{"topic":"client","event":"disconnect","payload":{"reason":"token_expired"}}'
    async with running(Portal(saying(OK, over))) as portal:
        with pytest.raises(AuthError, match="expired"):
            await component(portal).run(lambda _: None)


@pytest.mark.parametrize(
    ("name", "short", "act", "reason"),
    [
        ("JOIN_PATIENCE", 0.05, saying(), "the join was not answered"),
        ("HEARTBEAT_INTERVAL", 0.02, saying(OK), "4 heartbeats were not answered"),
    ],
)
async def test_a_portal_that_does_not_answer_is_left(
    name: str, short: float, act: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = getattr(channel, name)
    monkeypatch.setattr(channel, name, short)

    def enough(seen: list[Happening]) -> bool:
        if isinstance(seen[-1], Offline):
            # The portal that is good has its time.
            monkeypatch.setattr(channel, name, usual)
        return seen[-1] == Joined() and "Offline" in kinds(seen)

    async with running(Portal(act, good)) as portal:
        seen = await until(component(portal), enough)

    assert [each.reason for each in seen if isinstance(each, Offline)] == [reason]


async def test_a_portal_that_never_upgrades_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "WHOLE_PATIENCE", 0.05)
    monkeypatch.setattr(backoff, "FIRST_BUDGET", 0.02)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        portal = Portal(good)
        portal.port = server.sockets[0].getsockname()[1]
        with pytest.raises(PortalUnreachable):
            await component(portal).run(lambda _: None)


async def test_a_slow_portal_is_waited_for() -> None:
    async def slow(portal: Portal, websocket: ServerConnection) -> None:
        await asyncio.sleep(0.1)
        await good(portal, websocket)

    async with running(Portal(slow)) as portal:
        seen = await until(component(portal), joins(1))

    assert kinds(seen) == ["Joined"]


async def test_candidates_wait_for_the_next_connection() -> None:
    async with running(Portal(saying(OK, close=1012), response(503), good)) as portal:
        held = component(portal)

        def take(event: Happening) -> None:
            if isinstance(event, Offline):
                held.send(CANDIDATES)
                held.send(NoRelays())

        running_ = asyncio.create_task(held.run(take))
        await eventually(lambda: len(portal.said) == 2)
        held.close()
        await running_

    assert portal.said == ["phx_join", "new_gateway_ice_candidates"]


async def test_a_new_connection_on_demand_has_the_new_key() -> None:
    closes: list[Any] = []

    async def noting(portal: Portal, websocket: ServerConnection) -> None:
        await good(portal, websocket)
        closes.append(websocket.close_code)

    async with running(Portal(noting)) as portal:
        held = component(portal)

        def take(event: Happening) -> None:
            if isinstance(event, Received):
                held.reconnect(examples.GATEWAY_KEY) if not closes else held.close()

        await held.run(take)
        await eventually(lambda: len(closes) == 2)

    assert "public_key=ICEi" in portal.requests[1].path
    assert closes[0] == 1000


async def test_a_new_connection_on_demand_does_not_wait() -> None:
    async with running(Portal(response(503, **{"Retry-After": "3600"}), good)) as portal:
        held = component(portal)

        def take(event: Happening) -> None:
            held.reconnect() if isinstance(event, Offline) else held.close()

        await held.run(take)

    assert len(portal.requests) == 2


async def test_closing_ends_a_wait_and_an_attempt() -> None:
    async with running(Portal(response(503, **{"Retry-After": "3600"}))) as portal:
        seen = await until(component(portal), bool)

    assert seen == [Offline("the portal answered 503", 3600.0)]


def test_the_token_is_shown_nowhere() -> None:
    held = component(Portal(good))

    assert "canary" not in repr(vars(held)) + repr(held)


def test_patience_is_that_of_the_protocol() -> None:
    assert (dial.TCP_PATIENCE, dial.WHOLE_PATIENCE, connection.SEND_PATIENCE) == (5, 15, 40)
