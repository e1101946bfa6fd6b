"""`firezone client up` in each DNS mode: programs find protected names while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..conftest import Host

pytestmark = pytest.mark.timeout(150)

FIREZONE = (sys.executable, "-m", "firezone")
LANS = {"10.0.0.80"}
NOBODY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEA="
FILE = """
private_key_file = "/run/client.key"
state_dir = "/run/state"
[[gateway]]
name = "office"
public_key = "{key}"
endpoint = "192.0.2.2:52625"
[[resource]]
name = "site"
dns = "*.site.example"
"""


class Up:
    """A Client that runs on a host until something ends it."""

    def __init__(self, host: Host, mode: str, environment: dict[str, str] | None) -> None:
        self._host, self._environment = host, environment
        command = (*FIREZONE, "client", "up", "--config", "/run/client.toml", "--dns-control", mode)
        self.process = host.start(
            *command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[1]
        return self.status().startswith("0\n")

    def status(self) -> str:
        return self._host.run(*FIREZONE, "client", "status", "--json", ok=False)

    def sentinel(self) -> str:
        status = json.loads(self.status().partition("\n")[2])
        return next(address for address in status["sentinels"] if ":" not in address)

    def ends(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.communicate(timeout=30)


@pytest.fixture(params=["disabled", "etc-resolv-conf", "systemd-resolved"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def environment(mode: str, request: pytest.FixtureRequest) -> dict[str, str] | None:
    if mode != "systemd-resolved":
        return None
    found: dict[str, str] = request.getfixturevalue("resolved")
    return found


@pytest.fixture
def up(
    host: Host,
    mode: str,
    environment: dict[str, str] | None,
    wait_until: Callable[[Callable[[], bool]], None],
) -> Callable[[], Up]:
    """Start the Client and wait until it is there."""
    host.run(*FIREZONE, "keys", "new", "/run/client.key")
    host.sh("cat > /run/client.toml", input=FILE.format(key=NOBODY))

    def start() -> Up:
        client = Up(host, mode, environment)
        wait_until(client.is_ready)
        return client

    return start


def is_proxy(address: str) -> bool:
    return address.startswith(("100.96.", "fd00:2021:1111:8000:"))


@pytest.mark.parametrize("after", ["cleanup", "the next start"])
@pytest.mark.usefixtures("before")
def test_a_killed_client_leaves_a_host_that_resolves_as_before(
    host: Host,
    mode: str,
    environment: dict[str, str] | None,
    up: Callable[[], Up],
    programs: dict[str, list[str]],
    addresses: Callable[[list[str]], set[str]],
    after: str,
) -> None:
    state = host.state()
    client = up()
    given = addresses(["dig", "+short", f"@{client.sentinel()}"])
    assert given
    assert all(map(is_proxy, given))
    for resolver, command in programs.items():
        found = addresses(command)
        assert found == LANS if mode == "disabled" else all(map(is_proxy, found)), resolver
    # Other names are still asked where they were asked before.
    assert "10.0.0.80" in host.sh("getent ahosts plain.lan.example")

    client.ends(signal.SIGKILL)
    if after == "cleanup":
        host.run(*FIREZONE, "host", "cleanup", env=environment)
    else:
        up().ends(signal.SIGTERM)

    for resolver, command in programs.items():
        assert addresses(command) == LANS, resolver
    assert host.state() == state
    assert json.loads(host.firezone("host", "show", "--json"))["steps"] == []
