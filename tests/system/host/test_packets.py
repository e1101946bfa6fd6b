"""What our table does to packets: real ones, from other hosts, judged by what arrives."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Host, Tun

pytestmark = pytest.mark.timeout(90)

CLIENT4, CLIENT6 = "100.64.0.9", "fd00:2021:1111::9"
APPLY = """
role, name = sys.argv[1:]
journal = Journal.open(role)
LinuxHost(journal, log=log).apply(PLANS[name])
journal.release()
"""
ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 7000))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(2048)
    print(peer[0], flush=True)
    server.sendto(data, peer)
"""
SEND = """
import socket, sys
source, destination = sys.argv[1:]
family = socket.AF_INET6 if ":" in destination else socket.AF_INET
sender = socket.socket(family, socket.SOCK_DGRAM)
if source:
    sender.setsockopt(socket.SOL_IP, 19, 1)
    sender.bind((source, 0))
for _ in range(20):
    sender.sendto(b"unasked", (destination, 7000))
"""


@pytest.fixture
def tun(host: Host, lan: Host) -> Tun:
    """A Gateway whose LAN routes everything, tunnel addresses included, to it."""
    device = host.tun()
    host.python(APPLY, "gateway", "gateway")
    lan.sh("ip route add default via 10.0.0.2; ip -6 route add default via 2001:db8::2")
    return device


@pytest.fixture
def server(lan: Host) -> Callable[[str], subprocess.Popen[str]]:
    """Start a server on the LAN that tells who asked it."""

    def start(address: str) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = lan.start(
            sys.executable, "-c", ECHO, address, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start


def asks(address: str, port: int = 40000, data: bytes = b"asked") -> Any:
    """Return a datagram of a Client."""
    head = IPv6(src=CLIENT6, dst=address) if ":" in address else IP(src=CLIENT4, dst=address)
    return head / UDP(sport=port, dport=7000) / Raw(data)


def is_unasked(packet: bytes) -> bool:
    return b"unasked" in packet


@pytest.mark.parametrize(
    ("address", "client", "gateway"),
    [("10.0.0.3", CLIENT4, "10.0.0.2"), ("2001:db8::3", CLIENT6, "2001:db8::2")],
)
def test_a_client_is_masqueraded_and_answered(
    tun: Tun, server: Callable[[str], Any], address: str, client: str, gateway: str
) -> None:
    seen = server(address).stdout

    answers = tun.exchange(asks(address))

    assert seen.readline() == f"{gateway}\n"
    assert len(answers) == 1
    answer = IPv6(answers[0]) if ":" in address else IP(answers[0])
    assert (answer.src, answer.dst, bytes(answer[Raw])) == (address, client, b"asked")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("family", [4, 6])
def test_what_nobody_asked_for_is_dropped(
    host: Host, lan: Host, tun: Tun, family: int, own: bool
) -> None:
    client, gateway = (CLIENT4, "100.64.0.1") if family == 4 else (CLIENT6, "fd00:2021:1111::1")
    target = gateway if own else client

    lan.python(SEND, "", target)
    option = "-6" if family == 6 else "-4"
    lost = lan.run("ping", option, "-c", "3", "-i", "0.2", "-W", "1", target, ok=False)

    assert tun.exchange(wait=1.0, most=100) == []
    assert "3 packets transmitted, 0 received" in lost
    assert host.sh("nstat -az Udp6NoPorts UdpNoPorts | awk '$2 != 0 && /NoPorts/'") == ""

    # Without our table all of it would arrive.
    host.sh("nft delete table inet firezone-gateway")
    found = lan.run("ping", option, "-c", "2", "-i", "0.2", "-W", "1", target, ok=False)
    if own:
        assert "2 packets transmitted, 2 received" in found
    else:
        assert len(tun.exchange(wait=1.0, most=2)) == 2


def test_who_claims_to_be_a_client_is_dropped(
    lan: Host, tun: Tun, make_host: Callable[[], Host], host: Host, join: Callable[..., None]
) -> None:
    other = _behind(host, make_host, join)
    received = _receiver(other, "192.168.7.2")
    lan.sh(f"ip addr add {CLIENT4}/32 dev lo")

    lan.python(SEND, CLIENT4, "192.168.7.2")
    lan.python(SEND, "10.0.0.3", "192.168.7.2")

    # The second sender's come through, and nothing of the first's before them.
    assert received.stdout.readline() == "10.0.0.3\n"
    assert [p for p in tun.exchange(wait=0.5, most=100) if is_unasked(p)] == []


def test_unrelated_forwarding_still_works(
    host: Host, lan: Host, tun: Tun, make_host: Callable[[], Host], join: Callable[..., None]
) -> None:
    del tun
    other = _behind(host, make_host, join)

    assert " 0% packet loss" in lan.sh("ping -c 3 -i 0.2 -W 2 192.168.7.2")
    received = _receiver(other, "192.168.7.2")
    lan.python(SEND, "", "192.168.7.2")
    assert received.stdout.readline() == "10.0.0.3\n"


def test_clients_do_not_reach_each_other_through_the_kernel(tun: Tun) -> None:
    packet = IP(src=CLIENT4, dst="100.64.0.10") / UDP(sport=1, dport=2) / Raw(b"to another")

    assert tun.exchange(packet, wait=1.0, most=10) == []


def test_the_kernel_keeps_flows_as_long_as_we_do(
    host: Host, lan: Host, tun: Tun, server: Callable[[str], Any]
) -> None:
    seen = server("10.0.0.3").stdout
    lan.start(sys.executable, "-m", "http.server", "80", stderr=subprocess.DEVNULL)
    assert tun.exchange(asks("10.0.0.3"))
    seen.readline()
    syn = IP(src=CLIENT4, dst="10.0.0.3") / TCP(sport=40001, dport=80, flags="S", seq=1000)
    answer = _until_answered(tun, syn)
    ack = IP(src=CLIENT4, dst="10.0.0.3") / TCP(
        sport=40001, dport=80, flags="A", seq=1001, ack=answer[TCP].seq + 1
    )
    tun.exchange(ack, wait=0.2)

    tracked = host.sh("conntrack -L 2>/dev/null")

    udp = re.search(r"^udp +17 (\d+) src=100.64.0.9 ", tracked, re.MULTILINE)
    tcp = re.search(r"^tcp +6 (\d+) ESTABLISHED src=100.64.0.9 ", tracked, re.MULTILINE)
    assert udp is not None, tracked
    assert tcp is not None, tracked
    assert 280 <= int(udp[1]) <= 300
    assert 7400 <= int(tcp[1]) <= 7440


def test_a_client_hosts_tunnel_address_is_not_reached_from_a_lan(host: Host, lan: Host) -> None:
    tun = host.tun()
    host.python(APPLY, "client", "client")
    lan.sh("ip route add 100.64.0.0/11 via 10.0.0.2")
    lan.sh("ip -6 route add fd00:2021:1111::/48 via 2001:db8::2")

    for target in ("100.64.0.1", "fd00:2021:1111::1"):
        lost = lan.run("ping", "-c", "3", "-i", "0.2", "-W", "1", target, ok=False)
        assert "3 packets transmitted, 0 received" in lost
    # From the tunnel, and from the host itself, it is reached.
    echo = IP(src="100.96.0.1", dst="100.64.0.1") / ICMP(id=1, seq=1)
    assert IP(tun.exchange(echo)[0])[ICMP].type == 0
    assert " 0% packet loss" in host.sh("ping -c 1 -W 2 100.64.0.1")


def _until_answered(tun: Tun, syn: Any) -> Any:
    """Send a SYN until the server, which has just been started, takes it."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        # Until it listens the kernel answers at once, by a reset.
        time.sleep(0.1)
        for packet in tun.exchange(syn, wait=0.5):
            answer = IP(packet)
            if TCP in answer and answer[TCP].flags == "SA":
                return answer
    pytest.fail("nobody answered")


def _behind(host: Host, make_host: Callable[[], Host], join: Callable[..., None]) -> Host:
    """Return a host of another LAN, to which the host under test is the way."""
    other = make_host()
    join(
        host,
        "eth1",
        other,
        "eth0",
        "one: ip addr add 192.168.7.1/24 dev eth1",
        "other: ip addr add 192.168.7.2/24 dev eth0; ip route add default via 192.168.7.1",
    )
    host.sh("echo 1 > /proc/sys/net/ipv4/conf/eth1/forwarding")
    return other


def _receiver(other: Host, address: str) -> Any:
    process = other.start(sys.executable, "-c", ECHO, address, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process
