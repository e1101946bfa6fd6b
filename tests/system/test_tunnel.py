"""Two machines, two processes, two files: names and networks through the encrypted tunnel."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from tests.system.two_machines import NAME, RESOURCES, SITE, UNDERLAY, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20


@pytest.fixture
def machines() -> Iterator[TwoMachines]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with TwoMachines() as machines:
        yield machines


@pytest.fixture
def connected(machines: TwoMachines) -> TwoMachines:
    machines.write_gateway()
    machines.write_client()
    machines.begin("gateway")
    machines.begin("client")
    machines.use_client_dns()
    return machines


def fetch(machines: TwoMachines, url: str, *options: str) -> str:
    """Return the SHA-256 of what curl loads."""
    curl = f"curl -sS --fail -m 100 {' '.join(options)} {url} | sha256sum"
    done = machines.inside(machines.client, "sh", "-c", curl)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def send(machines: TwoMachines, url: str, *options: str) -> bytes:
    """Upload the file and return what arrived."""
    source = machines.folder / "www" / "file"
    curl = ("curl", "-sS", "--fail", "-m", "100", *options, "-T", str(source), f"{url}/upload/copy")
    done = machines.inside(machines.client, *curl)
    assert done.returncode == 0, done.stderr
    return (machines.folder / "www" / "upload" / "copy").read_bytes()


@pytest.mark.parametrize("underlay", [0, 1])
def test_files_arrive_whole_by_name_and_by_network_both_ways_and_by_both_families(
    machines: TwoMachines, underlay: int
) -> None:
    host = UNDERLAY["gateway"][underlay]
    machines.write_gateway()
    machines.write_client(f"[{host}]:52625" if underlay else f"{host}:52625")
    machines.begin("gateway")
    machines.begin("client")
    machines.use_client_dns()
    digest = machines.payload(24 * MIB)
    original = (machines.folder / "www" / "file").read_bytes()

    for url, family in (
        (f"http://{NAME}", "-4"),
        (f"http://{NAME}", "-6"),
        (f"http://{SITE[0]}", "-4"),
        (f"http://[{SITE[1]}]", "-6"),
    ):
        assert fetch(machines, f"{url}/file", family) == digest, url
        assert send(machines, url, family) == original, url

    peer = machines.call("client", "status")["peers"][0]
    assert peer["connected"]
    assert peer["address"] == (f"[{host}]:52625" if underlay else f"{host}:52625")
    assert peer["received_bytes"] > 4 * 24 * MIB, "all of it went through the tunnel"


def test_every_program_of_the_clients_host_finds_names_and_other_types(
    connected: TwoMachines,
) -> None:
    dig = ("dig", "+short", "+time=5", "+tries=2")
    mail = connected.inside(connected.client, *dig, NAME, "MX")
    text = connected.inside(connected.client, *dig, "+tcp", NAME, "TXT")
    assert mail.stdout.strip() == "10 mail.site.example."
    assert text.stdout.strip() == '"a text"'
    hosts = connected.inside(connected.client, "getent", "ahosts", NAME)
    assert hosts.stdout.startswith(("100.96.", "fd00:2021:1111:8000"))
    script = f"import urllib.request as u; print(u.urlopen('http://{NAME}/whoami').read().decode())"
    python = connected.inside(connected.client, "python3", "-c", script)
    assert python.stdout.strip() in SITE, python.stderr
    ping = connected.inside(connected.client, "ping", "-c", "2", "-W", "5", NAME)
    assert ping.returncode == 0, ping.stdout


def test_a_file_that_changed_is_followed_and_allowed_flows_go_on(connected: TwoMachines) -> None:
    digest = connected.payload(24 * MIB)
    slow = f"curl -sS --fail -m 100 --limit-rate 6M http://{NAME}/file | sha256sum"
    loading = connected.start("loading", connected.client, "sh", "-c", slow)
    connected.wait(
        lambda: connected.call("gateway", "counters")[0]["to_clients"] > 100, "the transfer"
    )
    peer = {"name": "laptop", "public_key": connected.keys["client"], "resources": ["site"]}
    tables = {"client": [peer], "resource": RESOURCES}

    connected.write("gateway", {"dns_servers": ["10.77.0.2"]}, tables)
    connected.running["gateway"].send_signal(signal.SIGHUP)
    connected.wait(lambda: '"config.reloaded"' in connected.output("gateway"), "the reload")

    refused = connected.inside(
        connected.client, "curl", "-sS", "-m", "5", f"http://{SITE[0]}/whoami"
    )
    assert refused.returncode != 0, "the network is not allowed any more"
    assert loading.wait(100) == 0
    assert connected.output("loading").split()[0] == digest


def test_a_wrong_file_is_refused_and_the_former_one_stays(connected: TwoMachines) -> None:
    good = connected.file("gateway").read_text()
    connected.file("gateway").write_text(good + '\n[[client]]\nname = "x"\npublic_key = "short"\n')

    connected.running["gateway"].send_signal(signal.SIGHUP)

    connected.wait(lambda: '"config.refused"' in connected.output("gateway"), "the refusal")
    lines = [line for line in connected.output("gateway").splitlines() if "config.refused" in line]
    assert (
        "[[client]] x: public_key: a key is 32 bytes in base64" in json.loads(lines[-1])["reason"]
    )
    assert fetch(connected, f"http://{NAME}/whoami")


def test_the_hosts_are_as_they_were_after_the_end(machines: TwoMachines) -> None:
    def look() -> list[list[str]]:
        commands = ("ip rule; ip -6 rule", "ip route show table all", "nft list ruleset")
        hosts = (machines.client, machines.gateway)
        sysctl = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"
        return [
            machines.inside(host, "sh", "-c", command).stdout.splitlines()
            for host in hosts
            for command in (*commands, sysctl)
        ]

    before = look()
    machines.write_gateway()
    machines.write_client()
    machines.begin("gateway")
    machines.begin("client")
    assert look() != before

    assert machines.end("client") == 0
    assert machines.end("gateway", signal.SIGINT) == 0

    assert look() == before


def test_a_wrong_key_and_a_wrong_preshared_key_are_silence(machines: TwoMachines) -> None:
    secret = "bm90IHRoZSBzYW1lIG9uIGJvdGggc2lkZXMgISEhISE="  # noqa: S105 - it is nobody's
    peer = {"name": "laptop", "public_key": machines.keys["client"], "resources": ["net4"]}
    tables = {"client": [{**peer, "preshared_key": secret}], "resource": RESOURCES}
    machines.write("gateway", {"dns_servers": ["10.77.0.2"]}, tables)
    machines.write_client()
    machines.begin("gateway")
    machines.begin("client")

    tried = machines.inside(machines.client, "curl", "-m", "4", f"http://{SITE[0]}/whoami")

    assert tried.returncode == 28, "curl: timed out"
    assert not machines.call("client", "status")["peers"][0]["connected"]
    assert not machines.call("gateway", "status")["peers"][0]["connected"]


def test_flows_go_on_when_the_gateway_is_killed_and_begun_anew(connected: TwoMachines) -> None:
    digest = connected.payload(24 * MIB)
    slow = f"curl -sS --fail -m 100 --limit-rate 4M http://{NAME}/file | sha256sum"
    loading = connected.start("loading", connected.client, "sh", "-c", slow)
    connected.wait(
        lambda: connected.call("gateway", "counters")[0]["to_clients"] > 1000, "the transfer"
    )

    connected.end("gateway", signal.SIGKILL)
    connected.begin("gateway")

    assert loading.wait(100) == 0
    assert connected.output("loading").split()[0] == digest


def test_flows_go_on_when_the_client_is_killed_and_begun_anew(connected: TwoMachines) -> None:
    digest = connected.payload(24 * MIB)
    slow = f"curl -sS --fail -m 100 --limit-rate 4M http://{NAME}/file | sha256sum"
    loading = connected.start("loading", connected.client, "sh", "-c", slow)
    connected.wait(
        lambda: connected.call("gateway", "counters")[0]["to_clients"] > 1000, "the transfer"
    )

    connected.end("client", signal.SIGKILL)
    connected.begin("client")

    assert loading.wait(100) == 0
    assert connected.output("loading").split()[0] == digest
