"""Where the portal is, who asks, and by what it knows us."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.unit.signaling.examples import CLIENT_KEY

from firezone.errors import AuthError, ConfigError
from firezone.signaling import token
from firezone.signaling.address import Device, PortalAddress, request_url, user_agent
from firezone.signaling.identity import device_id, external_id

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = Device("client", "alice's laptop", "id+1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://portal.example", PortalAddress(True, "portal.example", 443, "")),
        ("https://portal.example/", PortalAddress(True, "portal.example", 443, "")),
        ("ws://portal.example", PortalAddress(False, "portal.example", 443, "")),
        ("http://192.0.2.1:8081/a/b/?x=1", PortalAddress(False, "192.0.2.1", 8081, "/a/b")),
        ("wss://[2001:db8::1]:444", PortalAddress(True, "2001:db8::1", 444, "")),
    ],
)
def test_where_a_portal_is(url: str, expected: PortalAddress) -> None:
    assert PortalAddress.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "portal.example",
        "ftp://portal.example",
        "wss://",
        "wss://portal.example:port",
        "ws://portal.example:80",
        "wss://canary@portal.example",
    ],
)
def test_what_is_no_portal(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        PortalAddress.parse(url)

    assert "canary" not in str(refused.value)


def test_what_is_asked_for() -> None:
    address = PortalAddress.parse("wss://portal.example/x/")

    url = urlsplit(request_url(address, CLIENT, CLIENT_KEY))

    assert url.path == "/x/client/v2/websocket"
    assert url.query.endswith("&public_key=" + CLIENT_KEY.replace("=", "%3D").replace("/", "%2F"))
    assert parse_qsl(url.query) == [
        ("external_id", "id+1"),
        ("name", "alice's laptop"),
        ("public_key", CLIENT_KEY),
    ]


def test_what_a_relay_asks_for() -> None:
    address = PortalAddress.parse("ws://192.0.2.1:8081")
    relay = Device("relay", more=(("ipv6", "2001:db8::10"), ("port", "3478")))

    assert request_url(address, relay) == (
        "ws://192.0.2.1:8081/relay/websocket?ipv6=2001%3Adb8%3A%3A10&port=3478"
    )


def test_names_and_ids_have_bounds() -> None:
    address = PortalAddress.parse("wss://portal.example")
    for device in (Device("client", "", "x"), Device("gateway", "x", "x" * 256)):
        with pytest.raises(ConfigError):
            request_url(address, device, CLIENT_KEY)


def test_what_we_call_ourselves() -> None:
    system, component, machine = user_agent("gateway").split(" ", 2)

    assert "/" in system
    assert component == "gateway/1.6.1"
    assert machine.startswith("(")
    assert user_agent("client").split(" ")[1] == "headless-client/1.5.12"


def test_a_uuid_is_not_told() -> None:
    ident = "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d01"

    assert external_id(ident + "\n") == hashlib.sha256(ident.encode()).hexdigest()
    assert external_id("rack-7") == "rack-7"


def test_a_device_keeps_its_id(tmp_path: Path) -> None:
    path = tmp_path / "state" / "device_id"

    made = device_id(path)

    assert device_id(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")
    with pytest.raises(ConfigError, match="empty"):
        device_id(path)


def test_the_token_of_the_environment_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    file.chmod(0o600)
    (tmp_path / "FIREZONE_TOKEN").write_text("of-systemd")
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    found = [
        token.find(file, {"FIREZONE_TOKEN": " of the\nenvironment "} | systemd),
        token.find(file, systemd),
        token.find(None, systemd),
    ]

    texts = [each.get_secret_value() for each in found]
    assert texts == ["oftheenvironment", "of-the-file", "of-systemd"]
    assert "environment" not in repr(found[0]) + str(found[0])


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("canary")
    file.chmod(0o640)

    with pytest.raises(ConfigError, match="others can read"):
        token.find(file, {})


@pytest.mark.parametrize("text", ["", " \n", "to\u00e4ken", "to\u0000ken"])
def test_what_is_no_token(text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)

    with pytest.raises(ConfigError, match="holds no token"):
        token.read_file(file)


def test_without_a_token_there_is_nothing_to_sign_in_with(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="no token"):
        token.find(tmp_path / "missing", {})
    with pytest.raises(ConfigError):
        token.read_file(tmp_path / "missing")
