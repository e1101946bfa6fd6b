"""Settings: where they come from, and what a wrong one is told."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from firezone import config
from firezone.config import default_file, load
from firezone.errors import ConfigError
from firezone.settings import ClientSettings, GatewaySettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("FIREZONE_") or name == "LOG_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setattr(config, "FOLDER", tmp_path / "etc")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def test_the_files_of_the_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert str(default_file("client")) == "/etc/firezone/client.toml"
    assert str(default_file("gateway")) == "/etc/firezone/gateway.toml"


def test_without_anything_defaults_hold() -> None:
    loaded = load("client")

    assert loaded.settings == ClientSettings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == ()


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('log_level = "debug"\nbuffer_max_age = 3\nrefresh_floor = 0\n')
    monkeypatch.setenv("FIREZONE_LOG_LEVEL", "warn")
    monkeypatch.setenv("FIREZONE_BUFFER_MAX_AGE", "4")
    monkeypatch.setenv("FIREZONE_TOKEN", "")

    loaded = load("client", file=file, flags={"log_level": "error", "log_format": None})

    settings = loaded.settings
    assert isinstance(settings, ClientSettings)
    assert settings.log_level == "error"
    assert settings.buffer_max_age == 4.0
    assert settings.refresh_floor == 0.0
    assert settings.log_format == "auto"
    assert settings.token is None
    assert loaded.origins["log_level"] == "flag"
    assert loaded.origins["buffer_max_age"] == "environment FIREZONE_BUFFER_MAX_AGE"
    assert loaded.origins["refresh_floor"] == str(file)
    assert loaded.origins["log_format"] == "default"


def test_the_roles_own_file_is_read_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "gateway.toml").write_text("flow_logs = true\n")

    settings = load("gateway").settings

    assert isinstance(settings, GatewaySettings)
    assert settings.flow_logs is True


def test_log_dir_has_its_own_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOG_DIR", str(tmp_path))

    loaded = load("client")

    assert loaded.settings.log_dir == tmp_path
    assert loaded.origins["log_dir"] == "environment LOG_DIR"


def test_lists_are_separated_by_commas_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIREZONE_DNS_SERVERS", "192.0.2.53, [2001:db8::53]:5353,192.0.2.54:54")
    monkeypatch.setenv("FIREZONE_ALLOW_ADDRESSES", "10.0.0.0/8,fd00::/8")

    settings = load("gateway").settings

    assert isinstance(settings, GatewaySettings)
    assert settings.dns_servers == ("192.0.2.53", "[2001:db8::53]:5353", "192.0.2.54:54")
    assert [str(network) for network in settings.allow_addresses] == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("content", "key", "expected", "hint"),
    [
        ("refresh_flor = 1", "refresh_flor", "no setting of the Client", "mean refresh_floor?"),
        (
            "[table]\nport = 1",
            "table",
            "no setting of the Client",
            "there are activate_internet_resource",
        ),
        ("flow_logs = true", "flow_logs", "no setting of the Client", ""),
        ('refresh_floor = "1"', "refresh_floor", "a number of seconds, at least 0", "R06"),
        ("refresh_floor = true", "refresh_floor", "found true or false", ""),
        ("refresh_floor = 31", "refresh_floor", "at most 30, found 31", ""),
        ("refresh_floor = nan", "refresh_floor", "expected a number", ""),
        ("log_file_size = 1.5", "log_file_size", "a whole number of bytes", ""),
        ("log_file_size = 1", "log_file_size", "at least 4096", ""),
        ('log_level = "loud"', "log_level", "one of trace, debug, info, warn, error", ""),
        ("log_level = 2026-11-24", "log_level", "found a date or time", ""),
        ('dns_servers = "192.0.2.1"', "dns_servers", "a list of texts, found a text", ""),
        ('dns_servers = ["dns.example"]', "dns_servers", "found 'dns.example'", ""),
        ('dns_servers = ["192.0.2.1:0"]', "dns_servers", "no number from 1 to 65535", ""),
        ("dns_servers = [1]", "dns_servers", "a list of texts", ""),
        ('proxy_ipv4 = "100.96.0.1/11"', "proxy_ipv4", "not a valid IPv4 network", ""),
    ],
)
def test_a_wrong_setting_names_the_file_the_key_and_what_was_expected(
    content: str, key: str, expected: str, hint: str, *, file: Path
) -> None:
    file.write_text(content)

    with pytest.raises(ConfigError) as caught:
        load("client", file=file)

    text = str(caught.value)
    assert text.startswith(f"{file}: {key}")
    assert expected in text
    assert hint in str(caught.value.hint)
    assert (caught.value.setting, caught.value.origin) == (key, str(file))


@pytest.mark.parametrize("content", [b"log_level = ", b"\xff\xfe", b"= 1", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_told(content: bytes, file: Path) -> None:
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=f"{re.escape(str(file))} is not TOML"):
        load("client", file=file)


def test_a_file_that_was_named_must_exist(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load("client", file=file)
    with pytest.raises(ConfigError, match="Is a directory"):
        load("client", file=tmp_path)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREZONE_REFRESH_FLOOR", "soon")

    with pytest.raises(ConfigError, match="environment FIREZONE_REFRESH_FLOOR: refresh_floor"):
        load("client")


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(ConfigError, match="the command line: refresh_floor"):
        load("client", flags={"refresh_floor": -1})
    with pytest.raises(ConfigError, match="the command line: nothing is no setting"):
        load("client", flags={"nothing": 1})


def test_a_variable_that_looks_like_a_mistake_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIREZONE_LOG_LEVL", "debug")
    monkeypatch.setenv("FIREZONE_API_URL", "wss://portal.example")
    monkeypatch.setenv("FIREZONE_FLOW_LOGS", "true")

    (warning,) = load("client").warnings

    assert warning == (
        "FIREZONE_LOG_LEVL in the environment is no setting; did you mean FIREZONE_LOG_LEVEL?"
    )


def test_a_secret_is_never_shown(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('token = "hunter2"\n')
    file.chmod(0o600)

    loaded = load("client", file=file)

    assert loaded.settings.token == SecretStr("hunter2")
    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in str(loaded.show())
    monkeypatch.setenv("FIREZONE_TOKEN", "hunter2")
    assert "hunter2" not in str(load("client").show())


def test_the_text_of_a_wrong_secret_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        load("client", flags={"token": ["hunter2"]})

    assert "hunter2" not in str(caught.value)


def test_a_file_with_a_secret_that_others_can_read_is_refused(file: Path) -> None:
    file.write_text('token = "hunter2"\n')
    file.chmod(0o640)

    with pytest.raises(ConfigError, match="others can read token") as caught:
        load("client", file=file)
    assert caught.value.hint == f"chmod 600 {file}"


def test_every_setting_is_described_and_has_a_variable() -> None:
    for role in ("client", "gateway"):
        for setting in load(role).show():  # type: ignore[arg-type]
            assert setting.description.endswith("."), setting.name
            assert setting.variable in ("LOG_DIR", f"FIREZONE_{setting.name.upper()}")
            if setting.name.endswith(("_size", "_age", "_floor", "_cache")):
                assert setting.unit in ("bytes", "seconds"), setting.name
