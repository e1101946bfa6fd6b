"""What a role of a portal refuses before it begins, and how it proves who it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import CapturingLogger

from firezone.errors import AuthError, ConfigError
from firezone.introduced import client, gateway
from firezone.introduced.link import Link
from firezone.settings import ClientSettings, GatewaySettings

if TYPE_CHECKING:
    from pathlib import Path

PORTAL = "ws://127.0.0.1:1"


class Logs:
    level = "info"

    def __init__(self) -> None:
        self.logger = structlog.wrap_logger(CapturingLogger())
        self.secrets: list[str] = []

    def register_secret(self, secret: str) -> None:
        self.secrets.append(secret)


@pytest.fixture
def logs() -> Any:
    return Logs()


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIREZONE_TOKEN", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def settings(folder: Path, **more: Any) -> ClientSettings:
    return ClientSettings(api_url=PORTAL, state_dir=folder, run_dir=folder, **more)


async def link(folder: Path, logs: Any, **more: Any) -> Link:
    await asyncio.sleep(0)
    return Link("client", settings(folder, **more), "", logs)


@pytest.mark.parametrize("role", ["client", "gateway"])
async def test_nobody_takes_over(role: str, tmp_path: Path, logs: Any) -> None:
    options: dict[str, Any] = {"api_url": PORTAL, "state_dir": tmp_path, "run_dir": tmp_path}
    file = tmp_path / "none.toml"
    running: Any = (
        client.run_client(ClientSettings(**options), file, logs, takes_over=True)
        if role == "client"
        else gateway.run_gateway(GatewaySettings(**options), file, logs, takes_over=True)
    )

    with pytest.raises(ConfigError, match="nobody can take over"):
        await running


async def test_a_file_with_tables_is_refused_beside_a_portal(tmp_path: Path, logs: Any) -> None:
    file = tmp_path / "client.toml"
    file.write_text('[[resource]]\nname = "web"\ndns = "web.example"\n')

    with pytest.raises(ConfigError, match=r"\[\[resource\]\] does not count"):
        await client.run_client(settings(tmp_path), file, logs)


async def test_a_token_comes_from_the_settings(tmp_path: Path, logs: Any) -> None:
    await link(tmp_path, logs, token=SecretStr("of the-\nsettings"))

    assert logs.secrets == ["ofthe-settings"]


async def test_a_token_comes_from_a_file_that_its_owner_alone_reads(
    tmp_path: Path, logs: Any
) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("of-the-file\n")
    await link(tmp_path, logs, token_file=file)
    assert logs.secrets == ["of-the-file"]

    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read this token"):
        await link(tmp_path, logs, token_file=file)


async def test_a_token_comes_from_systemd(
    tmp_path: Path, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "FIREZONE_TOKEN").write_text("of-systemd\n")

    await link(tmp_path, logs)

    assert logs.secrets == ["of-systemd"]


async def test_without_a_token_nothing_is_tried(tmp_path: Path, logs: Any) -> None:
    with pytest.raises(AuthError, match="no token"):
        await link(tmp_path, logs)


async def test_the_portal_knows_a_host_again(tmp_path: Path, logs: Any) -> None:
    for _ in range(2):
        await link(tmp_path, logs, token=SecretStr("a-token"))

    made = (tmp_path / "client" / "device_id").read_text()
    await link(tmp_path, logs, token=SecretStr("a-token"))
    assert (tmp_path / "client" / "device_id").read_text() == made
