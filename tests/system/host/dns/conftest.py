"""DNS servers on both sides, programs that ask, and a Client's host set-up that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.system.host.dns.peers import BUS, PEERS, USERS

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from ..conftest import Host

RUN = """
method = sys.argv[1]
journal = Journal.open("client")
host = LinuxHost(journal, log=log)
control = dns_control(method, journal, log=log)
resolvers = SystemResolvers(method, control, tun=TUN, log=log)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    host.apply(PLANS["client"])
    print(json.dumps(resolvers.read()), flush=True)
    control.apply(tun=TUN, sentinels=SENTINELS)
    control.apply(tun=TUN, sentinels=SENTINELS)
    control.flush()
    print(json.dumps(resolvers.read()), flush=True)
    signal.pause()
finally:
    control.revert()
    host.undo()
    journal.release()
"""

C = """
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char text[64];
    if (getaddrinfo(argv[1], 0, &hints, &found)) return 1;
    for (; found; found = found->ai_next) {
        getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
        puts(text);
    }
}
"""
GO = """
package main
import ("fmt"; "net"; "os")
func main() {
    found, err := net.LookupHost(os.Args[1])
    if err != nil { fmt.Println(err); os.Exit(1) }
    for _, address := range found { fmt.Println(address) }
}
"""
PYTHON = (
    "import socket, sys; print(*{a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80)}, sep='\\n')"
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return the commands that look a name up and print addresses, by resolver."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "look_up.c").write_text(C)
    subprocess.run(["musl-gcc", "-static", "-o", folder / "musl", folder / "look_up.c"], check=True)
    commands = {
        "glibc": ["getent", "ahosts"],
        "python": [sys.executable, "-c", PYTHON],
        "musl": [str(folder / "musl")],
    }
    go = shutil.which("go")
    if go is not None:
        (folder / "look_up.go").write_text(GO)
        subprocess.run(
            [go, "build", "-o", folder / "go", folder / "look_up.go"],
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"},
            cwd=folder,
            check=True,
        )
        commands["go"] = [str(folder / "go")]
    return commands


@pytest.fixture
def sentinel(host: Host, make_host: Callable[[], Host], join: Callable[..., None]) -> Host:
    """A DNS server at the sentinels, behind a device with the name of our TUN device."""
    made = make_host()
    join(
        host,
        "tun-firezone",
        made,
        "eth0",
        "other: ip addr add 100.100.111.1/32 dev eth0",
        "other: ip -6 addr add fd00:2021:1111:8000:100:100:111:0/128 dev eth0 nodad",
        "other: ip addr add 100.96.0.1/32 dev eth0",
        "other: ip route add 100.64.0.0/11 dev eth0; ip -6 route add fd00:2021:1111::/107 dev eth0",
    )
    made.sh("mkdir /run/www; echo reached > /run/www/index.html")
    _dnsmasq(made, "100.96.0.1", "fd00:2021:1111:8000::1")
    made.start(
        sys.executable,
        "-m",
        "http.server",
        "80",
        "--directory",
        "/run/www",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return made


@pytest.fixture
def before(host: Host, lan: Host) -> None:
    """Make the LAN's DNS server, which the host asks without a Client."""
    lan.sh("ip addr add 10.0.0.53/24 dev eth0")
    _dnsmasq(lan, "10.0.0.80")
    _listens(host, "10.0.0.53")


def _dnsmasq(host: Host, *answers: str) -> None:
    """Start a DNS server that knows one name."""
    host.start(
        "dnsmasq",
        *("--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--no-hosts", "--no-resolv"),
        *("--user=root", "--local=/site.example/"),
        f"--host-record=app.site.example,{','.join(answers)}",
        "--host-record=plain.lan.example,10.0.0.80",
        stderr=subprocess.DEVNULL,
    )


def _listens(host: Host, server: str) -> None:
    for _ in range(40):
        said = host.run("dig", "+time=1", "+tries=1", f"@{server}", "app.site.example", ok=False)
        if said.startswith("0\n") and "status: NOERROR" in said:
            return
    pytest.fail(f"{server} does not answer: {said}")


@pytest.fixture
def addresses(host: Host) -> Callable[[list[str]], set[str]]:
    """Return the addresses that a command prints of the name that both servers know."""

    def addresses(command: list[str]) -> set[str]:
        lines = host.run(*command, "app.site.example").splitlines()
        return {line.split()[0] for line in lines if line.strip()}

    return addresses


@pytest.fixture
def listens(host: Host) -> Callable[[str], None]:
    """Wait until a server answers."""
    return lambda server: _listens(host, server)


class Client:
    """A Client's host set-up that runs until it is told to end."""

    def __init__(self, host: Host, script: str, method: str, **options: object) -> None:
        self.process = host.start(
            sys.executable, "-W", "error", "-c", script, method,
            stdout=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.servers = self.process.stdout.readline().strip()
        self.servers_with_client = self.process.stdout.readline().strip()

    def ends(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=20)


@pytest.fixture
def start_client(host: Host, with_prelude: Callable[[str], str]) -> Callable[..., Client]:
    """Start a Client's host set-up, after some lines of its own."""

    def start(method: str, *, first: str = "", **options: object) -> Client:
        return Client(host, with_prelude(f"{first}\n{RUN}"), method, **options)

    return start


@pytest.fixture
def resolved(host: Host, wait_until: Callable[[Callable[[], bool]], None]) -> dict[str, str]:
    """Start systemd-resolved; return the environment in which its programs are found."""
    daemon = PEERS / "lib" / "systemd" / "systemd-resolved"
    if not daemon.exists():
        pytest.fail(f"{daemon} is not there: .ci/unpack {PEERS} systemd-resolved libsystemd-shared")
    libraries = PEERS / "usr" / "lib" / "x86_64-linux-gnu"
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{libraries}/systemd:{libraries}",
        "PATH": f"{PEERS / 'usr' / 'bin'}:{os.environ['PATH']}",
    }
    host.sh(USERS, input=BUS)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    host.start(
        "dbus-daemon", "--config-file=/run/files/bus.conf", "--nofork", "--nopidfile", **quiet
    )
    wait_until(lambda: host.run("test", "-S", "/run/dbus/system_bus_socket", ok=False)[0] == "0")
    host.start(daemon, env=environment, **quiet)
    wait_until(lambda: host.run("resolvectl", "dns", env=environment, ok=False)[0] == "0")
    host.sh("cat > /etc/resolv.conf", input="nameserver 127.0.0.53\n")
    host.run("resolvectl", "dns", "eth0", "10.0.0.53", env=environment)
    host.run("resolvectl", "domain", "eth0", "lan.example", env=environment)
    return environment
