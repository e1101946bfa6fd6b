"""/etc/resolv.conf: programs ask the sentinels while a Client runs, else who they asked before."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..conftest import Host

pytestmark = pytest.mark.timeout(120)

CLIENTS = {"100.96.0.1", "fd00:2021:1111:8000::1"}
LANS = {"10.0.0.80"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("before", "sentinel")
def test_every_resolver_asks_the_client_and_then_again_the_lan(
    host: Host,
    programs: dict[str, list[str]],
    start_client: Callable[..., Any],
    how: signal.Signals,
    addresses: Callable[[list[str]], set[str]],
    listens: Callable[[str], None],
) -> None:
    state = host.state()
    for command in programs.values():
        assert addresses(command) == LANS

    client = start_client("etc-resolv-conf")
    assert client.servers == client.servers_with_client == '["10.0.0.53"]'
    listens("100.100.111.1")
    for resolver, command in programs.items():
        assert addresses(command) == CLIENTS, resolver
    assert host.sh("curl -4sS --max-time 10 http://app.site.example/") == "reached\n"

    client.ends(how)
    if how == signal.SIGKILL:
        assert addresses(["getent", "ahosts"]) == CLIENTS
        host.firezone("host", "cleanup")
    for command in programs.values():
        assert addresses(command) == LANS
    assert host.state() == state
    assert "10.0.0.53" in host.sh(
        "cat /etc/resolv.conf.before-firezone; rm /etc/resolv.conf.before-firezone"
    )


@pytest.mark.usefixtures("before", "sentinel")
def test_disabled_leaves_the_host_alone(
    host: Host,
    start_client: Callable[..., Any],
    addresses: Callable[[list[str]], set[str]],
    listens: Callable[[str], None],
) -> None:
    client = start_client("disabled")

    listens("100.100.111.1")
    assert addresses(["getent", "ahosts"]) == LANS
    assert "app.site.example" in host.sh("dig @100.100.111.1 app.site.example")
    client.ends(signal.SIGTERM)


@pytest.mark.usefixtures("sentinel")
def test_a_link_is_refused(host: Host, start_client: Callable[..., Any]) -> None:
    host.sh("umount /etc/resolv.conf; ln -sf ../run/files/resolv.conf /etc/resolv.conf")

    client = start_client("etc-resolv-conf", stderr=subprocess.PIPE)
    said = client.process.communicate(timeout=20)[1]

    assert "ConfigError" in said
    assert "is a link to ../run/files/resolv.conf" in said
    assert "nameserver 10.0.0.53" in host.sh("cat /etc/resolv.conf")
