"""Hosts to set up: namespaces of the kernel that end with the process that holds them.

Each has a network of its own, and /run, /etc and /etc/resolv.conf of its own; nothing outside is
touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RESOLV_CONF = b"# Made by a person\nnameserver 10.0.0.53\nsearch lan.example\noptions edns0\n"

_HOLD = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/files /run/etc /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
cat > /run/files/resolv.conf
mount --bind /run/files/resolv.conf /etc/resolv.conf
# Link-local addresses need not be asked for first: nobody else is there.
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
echo ready
exec sleep 600
"""

_STATE = """
ip rule; ip -6 rule
ip route show table all; ip -6 route show table all
nft list ruleset
cat /etc/resolv.conf
"""

_VALUES = """
cd /proc/sys/net
grep -r . ipv4/ip_forward ipv4/conf/*/forwarding ipv4/conf/*/accept_redirects \
  ipv4/conf/*/src_valid_mark ipv6/conf/*/forwarding ipv6/conf/*/accept_ra core/rmem_max
"""

_TUN = """
import fcntl, json, os, select, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", sys.argv[1].encode(), 0x1001))
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "send" in asked:
        os.write(tun, bytes.fromhex(asked["send"]))
    found = []
    while select.select([tun], [], [], asked["wait"])[0]:
        packet = os.read(tun, 2048)
        if packet[24] == 255 if packet[0] >> 4 == 6 else packet[16] >> 4 == 14:
            continue  # the kernel's own multicast
        found.append(packet.hex())
        if len(found) == asked["most"]:
            break
    print(json.dumps(found), flush=True)
"""


class Host:
    """A host: a process that holds its namespaces."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[Any]] = []
        hold = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _HOLD]
        self._holder = self.start_outside(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(RESOLV_CONF)
        self._holder.stdin.close()
        assert self._holder.stdout.readline() == b"ready\n"
        self.pid = self._holder.pid

    def start_outside(self, argv: list[str], **options: Any) -> subprocess.Popen[Any]:
        # It dies with this process, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        process = subprocess.Popen(command, **options)
        self._processes.append(process)
        return process

    def command(self, *argv: str | Path) -> list[str]:
        """Return the command that runs `argv` on this host."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--", *map(str, argv)]

    def start(self, *argv: str | Path, **options: Any) -> subprocess.Popen[Any]:
        """Start a program that ends with the host at the latest."""
        return self.start_outside(self.command(*argv), **options)

    def run(self, *argv: str | Path, ok: bool = True, **options: Any) -> str:
        """Run a program to its end and return what it wrote."""
        done = subprocess.run(
            self.command(*argv), capture_output=True, text=True, check=False, timeout=200, **options
        )
        assert not ok or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
        return done.stdout if ok else f"{done.returncode}\n{done.stdout}{done.stderr}"

    def sh(self, script: str, **options: Any) -> str:
        return self.run("sh", "-ec", script, **options)

    def python(self, script: str, *arguments: str | Path, ok: bool = True) -> str:
        """Run a program in Python whose first lines are those that all of them need."""
        whole = f"{_PRELUDE}\n{script}"
        return self.run(sys.executable, "-W", "error", "-c", whole, *arguments, ok=ok)

    def firezone(self, *arguments: str, ok: bool = True) -> str:
        return self.run(sys.executable, "-m", "firezone", *arguments, ok=ok)

    def state(self) -> str:
        """Return all that must be as before, byte for byte."""
        return self.sh(_STATE)

    def values(self) -> str:
        return self.sh(_VALUES)

    def tun(self, name: str = "tun-firezone") -> Tun:
        return Tun(self, name)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


_PRELUDE = """
import asyncio, json, os, signal, sys
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
import structlog
from firezone.host.dns.control import dns_control
from firezone.host.dns.resolver_source import SystemResolvers
from firezone.host.journal import Journal
from firezone.host.linux import LinuxHost
from firezone.host.plan import ClientNetwork, GatewayNetwork

TUN = "tun-firezone"
V4, V6 = IPv4Address("100.64.0.1"), IPv6Address("fd00:2021:1111::1")
OFFICE = frozenset({IPv4Network("10.9.0.0/16"), IPv6Network("2001:db8:9::/48")})
SENTINELS = (IPv4Address("100.100.111.1"), IPv6Address("fd00:2021:1111:8000:100:100:111:0"))
PLANS = {
    "client": ClientNetwork(TUN, V4, V6, OFFICE),
    "internet": ClientNetwork(TUN, V4, V6, OFFICE, True),
    "other": ClientNetwork(TUN, IPv4Address("100.64.0.7"), V6),
    "gateway": GatewayNetwork(TUN, V4, V6),
    "routed": GatewayNetwork(TUN, V4, V6, masquerade=False),
}
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
log = structlog.get_logger()
"""


class Tun:
    """A TUN device that a program of the test holds, whose packets the test sees."""

    def __init__(self, host: Host, name: str) -> None:
        self._process = host.start(
            sys.executable, "-c", _TUN, name, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def exchange(self, packet: Any = None, *, wait: float = 5.0, most: int = 1) -> list[bytes]:
        """Send a packet as if it came from the tunnel; return what goes into it.

        `wait` is how long nothing may come before that is the answer.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked: dict[str, object] = {"wait": wait, "most": most}
        if packet is not None:
            asked["send"] = bytes(packet).hex()
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        answer: list[str] = json.loads(self._process.stdout.readline())
        return [bytes.fromhex(each) for each in answer]

    def delete(self) -> None:
        """End whoever holds it, and with that the device."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(autouse=True)
def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def make_host() -> Iterator[Callable[[], Host]]:
    hosts: list[Host] = []

    def make() -> Host:
        host = Host()
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture
def join() -> Callable[..., None]:
    """Join two hosts by a cable: the device's name on each, and addresses of each."""

    def join(one: Host, name: str, other: Host, peer: str, *commands: str) -> None:
        one.sh(f"ip link add {name} type veth peer name {peer} netns {other.pid}")
        one.sh(f"ip link set {name} up")
        other.sh(f"ip link set {peer} up")
        for command in commands:
            side, _, words = command.partition(": ")
            {"one": one, "other": other}[side].sh(words)

    return join


@pytest.fixture
def lan(make_host: Callable[[], Host]) -> Host:
    """A host of a LAN."""
    return make_host()


@pytest.fixture
def host(make_host: Callable[[], Host], lan: Host, join: Callable[..., None]) -> Host:
    """A host with a LAN, a default route, and things that others made."""
    made = make_host()
    join(
        made,
        "eth0",
        lan,
        "eth0",
        "one: ip addr add 10.0.0.2/24 dev eth0; ip addr add 2001:db8::2/64 dev eth0 nodad",
        "other: ip addr add 10.0.0.3/24 dev eth0; ip addr add 2001:db8::3/64 dev eth0 nodad",
        "one: ip route add default via 10.0.0.1; ip -6 route add default via 2001:db8::1",
    )
    made.sh(
        "ip rule add priority 150 fwmark 7 lookup 77; ip -6 rule add priority 350 lookup 78;"
        "ip route add 192.0.2.0/24 via 10.0.0.9 table 77; ip route add blackhole 198.51.100.0/24;"
        "nft add table inet somebody; nft add chain inet somebody forward"
        " '{ type filter hook forward priority filter; policy accept; }';"
        "echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding"
    )
    # Link-local addresses come by themselves, and must be there before anything is compared.
    _wait(lambda: "tentative" not in made.sh("ip -6 addr show; ip -6 route show table all"))
    _wait(lambda: made.sh("ip -6 route show table local").count("local fe80") == 1)
    return made


def _wait(is_so: Callable[[], bool]) -> None:
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 10 s")


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool]], None]:
    return _wait


@pytest.fixture
def with_prelude() -> Callable[[str], str]:
    """Return a program in Python with the lines that all of them need."""
    return lambda script: f"{_PRELUDE}\n{script}"


@pytest.fixture
def states() -> str:
    """Return the commands that show all that must be as before."""
    return _STATE
