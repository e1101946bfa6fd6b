"""A changed file holds as a whole or not at all, whatever refuses it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from firezone import client_daemon, gateway_daemon, keys
from firezone.errors import ConfigError, FirezoneError
from firezone.settings import ClientSettings, GatewaySettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

KEY = "mYpsvvrPyGSXr2FmtyVwi9eUzAIHdSAMmZCzSTUvvWQ="
CLIENT = """
[[gateway]]
name = "office"
public_key = "{key}"
endpoint = "192.0.2.1:52625"
[[resource]]
name = "office"
cidr = "{network}"
"""
GATEWAY = """
[[client]]
name = "laptop"
public_key = "{key}"
addresses = ["{address}", "fd00::7"]
"""


class Host:
    """One that refuses what it is told to."""

    def __init__(self) -> None:
        self.refusal: FirezoneError | None = None
        self.plans: list[Any] = []

    def change(self, plan: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.plans.append(plan)


class Core:
    """One that notes its commands."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.told: list[tuple[str, int]] = []
        """Types of commands, and how many plans the host had followed by then."""

    async def send_all(self, commands: Iterable[Mapping[str, Any]]) -> None:
        self.told += [(command["type"], len(self.host.plans)) for command in commands]


class Running:
    """A role that runs, without a host and a core of its own."""

    def __init__(self, role: str, folder: Path) -> None:
        self.file = folder / f"{role}.toml"
        self.role = role
        keys.create(folder / "key")
        self.host = Host()
        self.core = Core(self.host)
        logs: Any = SimpleNamespace(logger=structlog.wrap_logger(CapturingLogger()), level="info")
        common: dict[str, Any] = {"private_key_file": folder / "key", "run_dir": folder}
        self.write("10.9.0.0/24", "100.64.0.7")
        daemon: Any
        if role == "client":
            daemon = client_daemon._ClientDaemon(ClientSettings(**common), self.file, logs)
        else:
            daemon = gateway_daemon._GatewayDaemon(GatewaySettings(**common), self.file, logs)
        daemon._host, daemon._endpoint = self.host, self.core
        self.daemon = daemon

    def write(self, network: str, address: str) -> None:
        text = CLIENT if self.role == "client" else GATEWAY
        self.file.write_text(text.format(key=KEY, network=network, address=address))

    async def reload(self, network: str = "10.8.0.0/24", address: str = "192.0.2.7") -> None:
        self.write(network, address)
        await self.daemon._reload()


@pytest.fixture(params=["client", "gateway"])
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> Running:
    await asyncio.sleep(0)
    return Running(request.param, tmp_path)


async def test_the_host_follows_a_changed_file_before_the_core(running: Running) -> None:
    await running.reload()

    assert len(running.host.plans) == 1
    assert running.core.told
    assert {plans for _, plans in running.core.told} == {1}


async def test_what_the_host_refuses_the_core_never_hears_of(running: Running) -> None:
    former = running.daemon._source.tables
    running.host.refusal = FirezoneError("the kernel refuses", hint="ask it why")

    with pytest.raises(FirezoneError, match="the kernel refuses"):
        await running.reload()

    assert running.core.told == []
    assert running.daemon._source.tables is former
    running.host.refusal = None
    await running.reload()
    assert running.core.told


async def test_a_network_that_is_everything_changes_nothing(tmp_path: Path) -> None:
    running = Running("client", tmp_path)

    with pytest.raises(ConfigError, match="that is everything"):
        await running.reload(network="0.0.0.0/0")

    assert (running.core.told, running.host.plans) == ([], [])
