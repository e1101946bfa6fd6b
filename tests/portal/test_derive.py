"""Derivations of the portal against the vectors that Client, Gateway and relay are tested with."""

from __future__ import annotations

import base64
import json
import uuid

import jwt

from firezone.portal.derive import (
    Side,
    ice_credentials,
    preshared_key,
    relay_id,
    turn_credentials,
    turn_password,
)
from firezone.portal.ingest import Flow, ingest_token
from firezone.portal.model import Authorization, Resource, ResourceKind, Role, User


def side(digit: str, first: int, base: int) -> Side:
    """Return a side of the vector: an id of one digit, a key that counts up."""
    eight, four = digit * 8, digit * 4
    identity = f"{eight}-{four}-4{digit * 3}-8{digit * 3}-{digit * 12}"
    key = base64.b64encode(bytes(range(first, first + 32))).decode()
    return Side(identity, key, bytes([base]) * 32)


CLIENT = side("1", 0x00, 1)
GATEWAY = side("2", 0x20, 2)


def test_the_id_of_a_relay_follows_from_its_stamp_secret() -> None:
    assert relay_id("00" * 32) == "60e05bd1-b195-4f2f-9411-2fa7197a5c88"
    assert uuid.UUID(relay_id("another")).version == 4


def test_the_password_of_the_turn_vector() -> None:
    password = turn_password("1cab293a-4032-46f4-862a-40e5d174b0d2", 1685984278, "uvdgKvS9GXYZ_vmv")

    assert password == "6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg"  # noqa: S105 - a vector


def test_turn_credentials_are_the_same_for_the_same_key_and_expiry() -> None:
    given = [turn_credentials("ab" * 32, CLIENT.public_key, 1900000000) for _ in range(2)]

    assert given[0] == given[1]
    expiry, salt = given[0].username.split(":")
    assert expiry == "1900000000"
    assert "=" not in salt
    assert given[0].password == turn_password("ab" * 32, 1900000000, salt)
    assert turn_credentials("ab" * 32, GATEWAY.public_key, 1900000000) != given[0]


def test_the_preshared_key_of_the_vector() -> None:
    assert preshared_key(CLIENT, GATEWAY) == "nf/zxFPO6UthXqXx5mQvtNZLT0cwCJiO6nYyJhnspc4="


def test_the_ice_credentials_of_the_vector() -> None:
    client, gateway = ice_credentials(CLIENT, GATEWAY)

    assert (client.username, client.password) == ("w7up", "ksqwm66pilnb7skdwwfw3r")
    assert (gateway.username, gateway.password) == ("kwe6", "mzkrj52x5h5ebrfdsh5iyq")


def test_no_secret_is_printed() -> None:
    client, gateway = ice_credentials(CLIENT, GATEWAY)
    text = repr((client, gateway, CLIENT, turn_credentials("ab" * 32, CLIENT.public_key, 1)))

    assert client.password not in text
    assert gateway.password not in text
    assert repr(CLIENT.psk_base) not in text


def test_an_ingest_token_has_the_form_that_both_sides_check() -> None:
    granted = Authorization(
        *(str(uuid.UUID(int=number)) for number in range(9)),
        needs_verified=False,
        expires_at=1_900_000_000,
        created_at=1_800_000_000,
    )
    resource = Resource(granted.resource_id, ResourceKind.INTERNET, "", "")
    user = User(granted.user_id, "Ann", "ann@example.net", Role.MEMBER)
    key = b"k" * 32

    tokens = [
        ingest_token(Flow(granted, resource, user), r, key) for r in ("initiator", "responder")
    ]

    header, payload, signature = tokens[0].split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] == "HS256"
    assert "=" not in header + payload + signature
    assert signature
    claims = [
        jwt.decode(token, key, algorithms=["HS256"], options={"verify_iat": False})
        for token in tokens
    ]
    assert [claim.pop("role") for claim in claims] == ["initiator", "responder"]
    assert claims[0] == claims[1]
    assert claims[0]["resource_name"] == ""
    assert claims[0]["uploads_enabled"] is False
    assert claims[0]["authorized_at"] == "2027-01-15T08:00:00Z"
    assert claims[0]["iat"] == 1_800_000_000
    assert claims[0]["exp"] == 1_900_000_000 + 30 * 24 * 3600
    texts = (
        "account_id initiator_device_id responder_device_id policy_authorization_id policy_id "
        "resource_id initiator_actor_id initiator_actor_name authorization_expires_at"
    )
    assert all(isinstance(claims[0][name], str) and claims[0][name] for name in texts.split())
    assert None not in claims[0].values()
