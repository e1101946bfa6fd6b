"""What a portal says to a Gateway, as commands; and what it is told."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone.introduced.gateway_source import PortalGatewaySource
from firezone.signaling.messages import Message, read_from_portal

CLIENT = "11111111-1111-4111-8111-111111111111"
WEB = "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d01"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PRESHARED = "nf/zxFPO6UthXqXx5mQvtNZLT0cwCJiO6nYyJhnspc4="
CLIENT_ICE = {"username": "w7up", "password": "ksqwm66pilnb7skdwwfw3r"}
GATEWAY_ICE = {"username": "kwe6", "password": "mzkrj52x5h5ebrfdsh5iyq"}
RESOURCE = {"type": "dns", "id": WEB, "name": "web", "address": "web.example", "filters": []}
CANDIDATE = "candidate:1 1 udp 2130706175 203.0.113.11 52625 typ host ufrag l37z"


def said(event: str, payload: Any) -> Message:
    return read_from_portal("gateway", event, payload)


def create(**changes: object) -> Message:
    client = {"id": CLIENT, "public_key": KEY, "preshared_key": PRESHARED}
    payload = {
        "ref": "auth-3f0c9d",
        "client": {**client, "ipv4": "100.64.0.2", "ipv6": "fd00:2021:1111::2"},
        "resource": RESOURCE,
        "client_ice_credentials": CLIENT_ICE,
        "gateway_ice_credentials": GATEWAY_ICE,
        "expires_at": 1900000000,
        "use_iceless": False,
    }
    return said("create_authorization", {**payload, **changes})


@pytest.fixture
def source() -> PortalGatewaySource:
    return PortalGatewaySource(structlog.wrap_logger(CapturingLogger()))


def test_an_init_is_all_access_that_there_is(source: PortalGatewaySource) -> None:
    payload = {
        "interface": {"ipv4": "100.64.0.9", "ipv6": "fd00:2021:1111::9"},
        "config": {"ipv4_masquerade_enabled": True, "ipv6_masquerade_enabled": True},
        "authorizations": [{"client_id": CLIENT, "resource_id": WEB, "expires_at": 1900000000}],
    }

    assert source.take(said("init", payload)) == [
        {
            "type": "set_authorizations",
            "authorizations": [{"client": CLIENT, "resource": WEB, "expires_at": 1900000000}],
        }
    ]


def test_an_authorization_introduces_the_client(source: PortalGatewaySource) -> None:
    assert source.take(create()) == [
        {
            "type": "create_authorization",
            "reference": "auth-3f0c9d",
            "client": {
                "id": CLIENT,
                "ipv4": "100.64.0.2",
                "ipv6": "fd00:2021:1111::2",
                "endpoint": {
                    "session": "ice",
                    "public_key": KEY,
                    "preshared_key": PRESHARED,
                    "local": GATEWAY_ICE,
                    "remote": CLIENT_ICE,
                },
            },
            "resource": RESOURCE,
            "expires_at": 1900000000,
        }
    ]
    assert source.name_of(WEB) == "web"


def test_without_an_end_access_lasts_until_it_is_taken_away(source: PortalGatewaySource) -> None:
    (command,) = source.take(create(expires_at=None))

    assert "expires_at" not in command


@pytest.mark.parametrize(
    "changes", [{"use_iceless": True}, {"resource": {**RESOURCE, "address": "a..b"}}]
)
def test_what_cannot_be_given_is_not_acknowledged(
    source: PortalGatewaySource, changes: dict[str, object]
) -> None:
    assert source.take(create(**changes)) == []


def test_access_is_taken_away_and_filters_change(source: PortalGatewaySource) -> None:
    rejected = said("reject_access", {"client_id": CLIENT, "resource_id": WEB})

    assert source.take(rejected) == [{"type": "revoke", "client": CLIENT, "resource": WEB}]
    updated = source.take(said("resource_updated", RESOURCE))
    assert updated == [{"type": "update_resource", "resource": RESOURCE}]


def test_candidates_of_a_client_come_and_go(source: PortalGatewaySource) -> None:
    payload = {"client_id": CLIENT, "candidates": [CANDIDATE]}

    told = {"client": CLIENT, "candidates": [CANDIDATE]}
    assert source.take(said("ice_candidates", payload)) == [
        {"type": "add_remote_candidates", **told}
    ]
    assert source.take(said("invalidate_ice_candidates", payload)) == [
        {"type": "remove_remote_candidates", **told}
    ]


def test_the_portal_is_told_what_the_core_did(source: PortalGatewaySource) -> None:
    done = {"type": "authorization_created", "reference": "auth-3f0c9d"}
    lines = {"type": "local_candidates", "client": CLIENT, "new": ["a"], "invalidated": ["b"]}

    told = [(m.event, m.payload()) for event in (done, lines) for m in source.told(event)]

    assert told == [
        ("authorization_created", {"ref": "auth-3f0c9d"}),
        ("broadcast_ice_candidates", {"client_ids": [CLIENT], "candidates": ["a"]}),
        ("broadcast_invalidated_ice_candidates", {"client_ids": [CLIENT], "candidates": ["b"]}),
    ]
