"""What a portal says to a Client, as commands; and what its core asks of the portal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone.introduced import client_source
from firezone.introduced.client_source import PortalClientSource
from firezone.signaling.messages import Message, read_from_portal

LOG = structlog.wrap_logger(CapturingLogger())
WEB, LAB = "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d01", "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d02"
SITE = {"id": "0d5a9e0c-57a4-4f0e-8f6e-b1b6d2d9e001", "name": "DC 1"}
OTHER_SITE = {"id": "0d5a9e0c-57a4-4f0e-8f6e-b1b6d2d9e002", "name": "DC 2"}
GATEWAY = "22222222-2222-4222-8222-222222222222"
KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
PRESHARED = "nf/zxFPO6UthXqXx5mQvtNZLT0cwCJiO6nYyJhnspc4="
CLIENT_ICE = {"username": "w7up", "password": "ksqwm66pilnb7skdwwfw3r"}
GATEWAY_ICE = {"username": "kwe6", "password": "mzkrj52x5h5ebrfdsh5iyq"}
CANDIDATE = "candidate:1 1 udp 2130706175 203.0.113.11 52625 typ host ufrag l37z"


def web(**changes: object) -> dict[str, object]:
    own = {"type": "dns", "id": WEB, "name": "web", "address": "web.corp.example", "filters": []}
    return {**own, "sites": [SITE], **changes}


def lab(**changes: object) -> dict[str, object]:
    own = {"type": "cidr", "id": LAB, "name": "lab", "address": "10.20.0.0/16", "filters": []}
    return {**own, "sites": [SITE], **changes}


def init(*resources: dict[str, object]) -> Message:
    interface = {"ipv4": "100.64.0.2", "ipv6": "fd00:2021:1111::2"}
    return said("init", {"interface": interface, "resources": list(resources)})


def said(event: str, payload: Any) -> Message:
    return read_from_portal("client", event, payload)


def created(resource: str = WEB, **changes: object) -> Message:
    payload = {
        "resource_id": resource,
        "gateway_id": GATEWAY,
        "gateway_public_key": KEY,
        "gateway_ipv4": "100.64.0.9",
        "gateway_ipv6": "fd00:2021:1111::9",
        "site_id": SITE["id"],
        "preshared_key": PRESHARED,
        "client_ice_credentials": CLIENT_ICE,
        "gateway_ice_credentials": GATEWAY_ICE,
        "use_iceless": False,
    }
    return said("authorization_created", {**payload, **changes})


def failed(reason: str, *properties: str) -> Message:
    payload = {"resource_id": WEB, "reason": reason, "violated_properties": list(properties)}
    return said("authorization_creation_failed", payload)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    def __init__(self, **options: Any) -> None:
        self.heard: list[dict[str, Any]] = []
        self.clock = Clock()
        self.source = PortalClientSource(self._hear, LOG, clock=self.clock, **options)

    def _hear(self, message: Message) -> None:
        self.heard.append({"event": message.event, **message.payload()})

    async def ask(self, connected: tuple[str, ...] = ()) -> asyncio.Task[Any]:
        task = asyncio.create_task(self.source.authorize(WEB, connected))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task


@pytest.fixture
def world() -> World:
    return World()


def kinds(commands: list[dict[str, Any]]) -> list[str]:
    return [command["type"] for command in commands]


def test_the_first_init_is_every_resource(world: World) -> None:
    filters = [{"protocol": "tcp", "port_range_start": 443, "port_range_end": 443}]

    commands = world.source.take(init(web(ip_stack="ipv4_only", filters=filters), lab()))

    assert commands == [
        {
            "type": "set_resource",
            "resource": {
                "id": WEB,
                "name": "web",
                "type": "dns",
                "address": "web.corp.example",
                "ip_stack": "ipv4_only",
                "filters": filters,
            },
        },
        {
            "type": "set_resource",
            "resource": {
                "id": LAB, "name": "lab", "type": "cidr", "address": "10.20.0.0/16", "filters": [],
            },
        },
    ]  # fmt: skip
    assert {str(network) for network in world.source.routes} == {"10.20.0.0/16"}


def test_an_init_of_a_portal_that_came_back_changes_nothing_that_is_the_same(world: World) -> None:
    world.source.take(init(web(), lab()))

    assert world.source.take(init(lab(), web())) == []


def test_what_a_later_init_lacks_is_removed_before_anything_is_added(world: World) -> None:
    world.source.take(init(web()))

    assert kinds(world.source.take(init(lab()))) == ["remove_resource", "set_resource"]


def test_another_site_resets_a_resource_and_another_name_does_not(world: World) -> None:
    world.source.take(init(web()))

    moved = world.source.take(said("resource_created_or_updated", web(sites=[OTHER_SITE])))
    renamed = world.source.take(
        said("resource_created_or_updated", web(sites=[OTHER_SITE], name="w"))
    )

    assert kinds(moved) == ["remove_resource", "set_resource"]
    assert kinds(renamed) == ["set_resource"]


def test_the_internet_resource_counts_where_it_was_activated(world: World) -> None:
    internet: dict[str, object] = {"type": "internet", "id": WEB, "sites": [SITE]}

    assert world.source.take(init(internet)) == []
    assert not world.source.has_internet
    active = World(activates_internet=True)
    assert kinds(active.source.take(init(internet))) == ["set_resource"]
    assert active.source.has_internet


def test_a_pattern_that_breaks_the_grammar_leaves_one_resource_out(world: World) -> None:
    commands = world.source.take(init(web(address="a..b"), lab()))

    assert [command["resource"]["id"] for command in commands] == [LAB]


async def test_a_request_names_the_gateways_and_its_answer_comes_before_candidates(
    world: World,
) -> None:
    world.source.take(init(web()))
    asking = await world.ask((GATEWAY,))

    assert world.heard == [
        {
            "event": "request_authorization",
            "resource_id": WEB,
            "connected_gateway_ids": [GATEWAY],
        }
    ]
    (command,) = world.source.take(created())
    candidates = said("ice_candidates", {"gateway_id": GATEWAY, "candidates": [CANDIDATE]})
    assert kinds(world.source.take(candidates)) == ["add_remote_candidates"]
    assert await asking is None, "the core was told"
    assert command == {
        "type": "authorize",
        "resource": WEB,
        "gateway": {
            "id": GATEWAY,
            "ipv4": "100.64.0.9",
            "ipv6": "fd00:2021:1111::9",
            "site": SITE["id"],
            "endpoint": {
                "session": "ice",
                "public_key": KEY,
                "preshared_key": PRESHARED,
                "local": CLIENT_ICE,
                "remote": GATEWAY_ICE,
            },
        },
    }
    assert world.source.name_of(GATEWAY) == "DC 1 (22222222)"


async def test_an_access_that_nobody_asked_for_is_none(world: World) -> None:
    world.source.take(init(web()))

    assert world.source.take(created()) == []
    assert world.source.take(created(LAB)) == []


async def test_a_path_without_ice_is_none(world: World) -> None:
    world.source.take(init(web()))
    asking = await world.ask()

    assert world.source.take(created(use_iceless=True)) == []
    assert await asking == "offline"


async def test_two_requests_for_a_resource_are_two_seconds_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float | None] = []

    async def wait(_what: object, timeout: float | None = None) -> None:  # noqa: ASYNC109
        waited.append(timeout)

    world.source.take(init(web()))
    first = await world.ask()
    world.source.take(failed("forbidden", "remote_ip"))
    assert await first == "forbidden"
    world.clock.now += 0.5
    monkeypatch.setattr(client_source.asyncio, "wait", wait)

    second = await world.ask()

    assert waited == [1.5]
    assert len(world.heard) == 2
    world.source.take(created())
    assert await second is None


async def test_what_was_asked_before_the_portal_went_is_asked_again(world: World) -> None:
    world.source.take(init(web()))
    asking = await world.ask()

    world.source.lost()
    world.source.take(init(web()))

    assert [message["event"] for message in world.heard] == ["request_authorization"] * 2
    world.source.take(created())
    assert await asking is None


async def test_a_portal_that_does_not_answer_is_as_good_as_offline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_source, "PATIENCE", 0.01)
    world.source.take(init(web()))

    assert await world.source.authorize(WEB) == "offline"


async def test_a_resource_that_goes_while_it_is_asked_for_is_not_found(world: World) -> None:
    world.source.take(init(web()))
    asking = await world.ask()

    assert kinds(world.source.take(said("resource_deleted", WEB))) == ["remove_resource"]
    assert await asking == "not_found"
    assert await world.source.authorize(WEB) == "not_found"


@pytest.mark.parametrize(
    ("reason", "answer", "told"),
    [
        ("offline", "offline", "no Gateway of DC 1 is online"),
        ("forbidden", "forbidden", "a policy's condition is not met (remote_ip)"),
        ("not_found", "not_found", "no policy grants it"),
        ("version_mismatch", "offline", "no Gateway of DC 1 has a version that fits"),
        ("something newer", "offline", "something newer"),
    ],
)
async def test_a_refusal_is_told_until_access_is_given(
    world: World, reason: str, answer: str, told: str
) -> None:
    world.source.take(init(web()))
    asking = await world.ask()
    world.source.take(failed(reason, "remote_ip"))

    assert await asking == answer
    assert world.source.status()[0]["refused"] == told
    row = {"target": "web.corp.example", "verdict": "permitted", "resource": WEB}
    assert world.source.why(row) == told

    world.clock.now += 5
    asking = await world.ask()
    world.source.take(created())
    await asking
    world.source.gateway_answered(GATEWAY)
    assert world.source.why(row) is None


async def test_a_gateway_whose_resource_is_offline_is_forgotten(world: World) -> None:
    world.source.take(init(web()))
    asking = await world.ask()
    world.source.take(created())
    await asking
    world.clock.now += 5
    await world.ask()

    assert world.source.take(failed("offline")) == [{"type": "remove_gateway", "gateway": GATEWAY}]


def test_a_site_is_offline_for_five_minutes(world: World) -> None:
    world.source.take(init(web(), lab()))
    world.source.take(failed("offline"))

    assert world.source.status()[1]["refused"] == "no Gateway of DC 1 is online"
    world.clock.now += 301
    assert world.source.status()[1]["refused"] is None


@pytest.mark.parametrize("target", ["web.corp.example", "WEB.corp.example."])
def test_what_was_taken_away_says_so_until_it_is_there_again(world: World, target: str) -> None:
    row = {"target": target, "verdict": "no_resource"}
    world.source.take(init(web()))
    world.source.take(said("resource_deleted", WEB))

    assert "no policy grants it any more" in str(world.source.why(row))
    assert [gone["name"] for gone in world.source.refusals.list_withdrawn()] == ["web"]

    world.source.take(said("resource_created_or_updated", web()))
    assert world.source.refusals.list_withdrawn() == []


def test_candidates_go_to_the_gateway_that_they_are_for(world: World) -> None:
    event = {"gateway": GATEWAY, "new": [CANDIDATE], "invalidated": ["candidate:2"]}

    told = [(m.event, m.payload()["gateway_id"]) for m in world.source.told(event)]

    assert told == [
        ("new_gateway_ice_candidates", GATEWAY),
        ("invalidate_gateway_ice_candidates", GATEWAY),
    ]
