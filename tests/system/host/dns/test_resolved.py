"""systemd-resolved, the real one, with a bus of its own: programs ask the sentinels by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.system.host.dns.peers import PEERS

from firezone.host.service import polkit_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..conftest import Host

pytestmark = pytest.mark.timeout(120)

CLIENTS = {"100.96.0.1", "fd00:2021:1111:8000::1"}
LANS = {"10.0.0.80"}

POLKIT = """
echo 'polkitd:x:64903:64903::/:/usr/sbin/nologin' >> /etc/passwd
echo 'polkitd:x:64903:' >> /etc/group
mkdir -p /run/share /run/work-share /etc/polkit-1/rules.d
mount -t overlay overlay /usr/share \\
  -o lowerdir={peers}/usr/share:/usr/share,upperdir=/run/share,workdir=/run/work-share
cat > /etc/polkit-1/rules.d/50-firezone.rules
chmod 755 /etc/polkit-1 /etc/polkit-1/rules.d
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("before", "sentinel")
def test_systemd_resolved_asks_the_client_and_then_again_the_lan(
    host: Host,
    programs: dict[str, list[str]],
    start_client: Callable[..., Any],
    resolved: dict[str, str],
    how: signal.Signals,
    addresses: Callable[[list[str]], set[str]],
) -> None:
    state, known = host.state(), host.run("resolvectl", "status", env=resolved)
    for command in programs.values():
        assert addresses(command) == LANS

    client = start_client("systemd-resolved", env=resolved)
    assert client.servers == client.servers_with_client == '["10.0.0.53"]'
    assert "100.100.111.1" in host.run("resolvectl", "dns", "tun-firezone", env=resolved)
    assert "~." in host.run("resolvectl", "domain", "tun-firezone", env=resolved)
    for resolver, command in programs.items():
        assert addresses(command) == CLIENTS, resolver
    assert host.sh("curl -4sS --max-time 10 http://app.site.example/") == "reached\n"

    client.ends(how)
    if how == signal.SIGKILL:
        host.run(sys.executable, "-m", "firezone", "host", "cleanup", env=resolved)
    for command in programs.values():
        assert addresses(command) == LANS
    assert host.state() == state
    assert _settled(host.run("resolvectl", "status", env=resolved)) == _settled(known)


def _settled(status: str) -> list[str]:
    """Return a status without which server was asked last, and without its columns."""
    lines = status.splitlines()
    return [" ".join(line.split()) for line in lines if "Current DNS Server" not in line]


@pytest.mark.usefixtures("before", "sentinel")
def test_servers_vanish_with_the_device(
    host: Host,
    resolved: dict[str, str],
    start_client: Callable[..., Any],
    addresses: Callable[[list[str]], set[str]],
) -> None:
    client = start_client("systemd-resolved", env=resolved)
    client.ends(signal.SIGKILL)

    host.sh("ip link delete tun-firezone")

    assert addresses(["getent", "ahosts"]) == LANS


@pytest.fixture
def polkit(
    host: Host, resolved: dict[str, str], wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    """Let the real polkit decide, by our rules."""
    host.sh(POLKIT.format(peers=PEERS), input=polkit_rules())
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    host.start(PEERS / "usr/lib/polkit-1/polkitd", "--no-debug", env=resolved, **quiet)
    owned = ["busctl", "--system", "status", "org.freedesktop.PolicyKit1"]
    wait_until(lambda: host.run(*owned, env=resolved, ok=False)[0] == "0")


AS_USER = """
# What Python loads later may lie where only root can read.
import fcntl, pyroute2, structlog.dev
from firezone.host.privilege import effective_capabilities, keep_only
keep_only("firezone")
print(os.getresuid(), *effective_capabilities(), file=sys.stderr)
"""


@pytest.fixture
def start_as_user(
    host: Host, resolved: dict[str, str], start_client: Callable[..., Any]
) -> Callable[[], Any]:
    host.sh("mkdir /run/firezone; chown firezone:firezone /run/firezone")
    return lambda: start_client(
        "systemd-resolved", first=AS_USER, stderr=subprocess.PIPE, env=resolved
    )


@pytest.mark.usefixtures("before", "sentinel", "polkit")
def test_a_user_with_one_right_is_enough(
    host: Host, start_as_user: Callable[[], Any], addresses: Callable[[list[str]], set[str]]
) -> None:
    state = host.state()
    client = start_as_user()
    assert client.servers == client.servers_with_client == '["10.0.0.53"]'

    assert addresses(["getent", "ahosts"]) == CLIENTS
    client.process.send_signal(signal.SIGTERM)
    said = client.process.communicate(timeout=20)[1]

    assert "(64902, 64902, 64902) 12\n" in said
    assert client.process.returncode == 0, said
    assert host.state() == state


@pytest.mark.usefixtures("before", "sentinel")
def test_who_may_not_tell_systemd_resolved_is_told_how(
    host: Host, start_as_user: Callable[[], Any], addresses: Callable[[list[str]], set[str]]
) -> None:
    state = host.state()

    said = start_as_user().process.communicate(timeout=20)[1]

    assert "Access denied" in said
    assert addresses(["getent", "ahosts"]) == LANS
    assert host.state() == state


def test_without_systemd_resolved_another_way_is_named(
    host: Host, start_client: Callable[..., Any]
) -> None:
    host.tun()
    client = start_client(
        "systemd-resolved", stderr=subprocess.PIPE, env={**os.environ, "PATH": "/usr/bin"}
    )

    said = client.process.communicate(timeout=20)[1]

    assert "resolvectl" in said
