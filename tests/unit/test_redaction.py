"""Secrets stay out of what is written down; what is written is plain and bounded."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from pydantic import SecretStr

from firezone.redaction import LONGEST_TEXT, MOST_ITEMS, STARS, Redaction, names_secret


@pytest.fixture
def redaction() -> Redaction:
    return Redaction()


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "accessToken",
        "FIREZONE_TOKEN",
        "password",
        "psk",
        "client-secret",
        "private_key",
        "privateKey",
        "presharedKey",
        "api_key",
        "Authorization",
    ],
)
def test_a_name_tells_of_a_secret(name: str, redaction: Redaction) -> None:
    assert names_secret(name)
    assert redaction.field(name, "hunter2") == STARS
    assert redaction.field("outer", {"inner": [{name: "hunter2"}]}) == {"inner": [{name: STARS}]}


@pytest.mark.parametrize("name", ["tokens_left", "key", "public_key", "secretary", "resource"])
def test_other_names_do_not(name: str, redaction: Redaction) -> None:
    assert not names_secret(name)
    assert redaction.field(name, "x") == "x"


def test_a_secret_type_is_never_written(redaction: Redaction) -> None:
    assert redaction.field("anything", SecretStr("hunter2")) == STARS
    assert redaction.field("anything", [SecretStr("hunter2")]) == [STARS]


def test_a_registered_value_is_replaced_wherever_it_stands(redaction: Redaction) -> None:
    redaction.register("hunter")
    redaction.register("hunter2")

    assert redaction.text("GET /?key=hunter2&old=hunter") == f"GET /?key={STARS}&old={STARS}"
    assert redaction.field("deep", {"hunter2": ("hunter2",)}) == {STARS: [STARS]}
    assert redaction.field("bytes", b"hunter2") == STARS


def test_a_value_too_short_for_a_secret_is_passed_over(redaction: Redaction) -> None:
    redaction.register("a")
    redaction.register("")

    assert redaction.text("a banana") == "a banana"


def test_everything_becomes_what_json_has(redaction: Redaction) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    value = {
        "nan": float("nan"),
        "huge": 10**5000,
        "address": IPv4Address("192.0.2.1"),
        7: {"set": {1}},
        "broken": Broken(),
        "none": None,
    }

    plain = redaction.field("value", value)

    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["nan"] == "nan"
    assert plain["address"] == "192.0.2.1"
    assert plain["7"] == {"set": [1]}
    assert "RuntimeError" in plain["broken"]


def test_texts_lists_and_nesting_are_bounded(redaction: Redaction) -> None:
    text = redaction.text("a" * LONGEST_TEXT + "end")
    nested: list[object] = []
    nested.append(nested)

    assert len(text) < LONGEST_TEXT + 64
    assert text.endswith("end")
    assert len(redaction.field("list", list(range(100_000)))) == MOST_ITEMS + 1
    assert len(redaction.field("map", {n: n for n in range(100_000)})) == MOST_ITEMS + 1
    assert "…" in json.dumps(redaction.field("endless", nested), ensure_ascii=False)
