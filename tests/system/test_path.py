"""The laboratory's underlay between two hosts: ping is the judge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from firezone._core import LabPath
from firezone.lab.namespaces import Namespace, remove_stale

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

LATENCY = 0.03


@pytest.fixture
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    remove_stale()
    hosts = (Namespace("here"), Namespace("there"))
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.callback(host.remove)
            host.create()
        yield hosts


@contextlib.contextmanager
def joined(hosts: tuple[Namespace, Namespace], **link: Any) -> Iterator[LabPath]:
    ends = [{"tun": "wan", "namespace": str(host.path), "link": link} for host in hosts]
    path = LabPath(json.dumps({"seed": 7, "ends": ends}))
    try:
        for number, host in enumerate(hosts, 1):
            host.sysctl({"ipv6/conf/wan/disable_ipv6": "1"})
            host.ip("link set wan up", f"address add 192.0.2.{number}/24 dev wan")
        yield path
    finally:
        path.stop()


def ping(host: Namespace, *options: str) -> str:
    command = host.command("ping", "-n", *options, "192.0.2.2")
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_a_round_trip_takes_the_latency_of_both_directions(
    hosts: tuple[Namespace, Namespace],
) -> None:
    with joined(hosts, latency=LATENCY) as path:
        said = ping(hosts[0], "-c", "10", "-i", "0.05", "-s", "1400", "-W", "10")
        assert " 0% packet loss" in said
        least = float(re.search(r"= ([\d.]+)/", said)[1])  # type: ignore[index]
        assert least >= 2 * LATENCY * 1000
        assert path.counters() == [(10, 0, 0, 0)] * 2


def test_what_is_lost_on_the_way_is_what_ping_misses(hosts: tuple[Namespace, Namespace]) -> None:
    with joined(hosts, loss=0.3) as path:
        said = ping(hosts[0], "-c", "100", "-i", "0.01", "-W", "2")
        received = int(re.search(r"(\d+) received", said)[1])  # type: ignore[index]
        (sent, lost_there, _, _), (answered, lost_back, _, _) = path.counters()
        assert (sent, answered) == (100, 100 - lost_there)
        assert received == 100 - lost_there - lost_back
        assert 10 <= lost_there <= 50


def test_no_train_is_too_long_for_the_underlay(hosts: tuple[Namespace, Namespace]) -> None:
    """A run that is sent as one (UDP GSO) crosses as its datagrams, each with a right checksum."""
    send = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_UDP, 103, 1200)  # UDP_SEGMENT
s.sendto(bytes(12000), ("192.0.2.2", 9))
"""
    receive = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("192.0.2.2", 9))
s.settimeout(10)
print("bound", flush=True)
print([len(s.recv(65535)) for _ in range(10)])
"""
    with joined(hosts, latency=0.001) as path:
        there = hosts[1].command("python3", "-c", receive)
        with subprocess.Popen(there, stdout=subprocess.PIPE, text=True) as receiving:
            assert receiving.stdout is not None
            receiving.stdout.readline()
            subprocess.run(hosts[0].command("python3", "-c", send), check=True)
            assert receiving.stdout.read().strip() == str([1200] * 10)
        assert path.counters()[0] == (10, 0, 0, 0)
