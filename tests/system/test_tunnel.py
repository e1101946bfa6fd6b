"""Two machines, two processes, two files: names and networks through the encrypted tunnel."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from tests.system.transfers import MIB, Loading, fetch, send
from tests.system.two_machines import NAME, RESOLVER, RESOURCES, SITE, UNDERLAY, Role, TwoMachines

from firezone import keys

URL = f"http://{NAME}/file"


@pytest.mark.parametrize("underlay", [0, 1])
def test_files_arrive_whole_by_name_and_by_network_both_ways_and_by_both_families(
    machines: TwoMachines, underlay: int
) -> None:
    host = UNDERLAY["gateway"][underlay]
    machines.write_gateway()
    machines.write_client(f"[{host}]:52625" if underlay else f"{host}:52625")
    machines.begin_both()
    digest = machines.payload(24 * MIB)

    for url, family in (
        (f"http://{NAME}", "-4"),
        (f"http://{NAME}", "-6"),
        (f"http://{SITE[0]}", "-4"),
        (f"http://[{SITE[1]}]", "-6"),
    ):
        assert fetch(machines, f"{url}/file", family) == digest, url
        assert send(machines, url, family) == digest, url

    peer = machines.call("client", "status")["peers"][0]
    assert peer["connected"]
    assert peer["address"] == (f"[{host}]:52625" if underlay else f"{host}:52625")
    assert peer["received_bytes"] > 4 * 24 * MIB, "all of it went through the tunnel"


@pytest.mark.parametrize("ciphers", [("auto", "ring"), ("ring", "auto")])
def test_each_end_seals_in_its_own_way(machines: TwoMachines, ciphers: tuple[str, str]) -> None:
    client, gateway = ciphers
    machines.write_client(aead=client)
    machines.write_gateway(aead=gateway)
    machines.begin_both()
    digest = machines.payload(8 * MIB)

    assert fetch(machines, f"http://{NAME}/file", "-4") == digest
    assert send(machines, f"http://{NAME}", "-4") == digest
    used = {role: machines.call(role, "status")["aead"] for role in ("client", "gateway")}
    wide = {"avx512-ifma", "avx512", "avx2", "ring"}
    for role, cipher in (("client", client), ("gateway", gateway)):
        assert used[role] in (wide if cipher == "auto" else {"ring"})


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


def test_a_server_of_one_link_is_used_and_one_of_no_link_is_told(machines: TwoMachines) -> None:
    machines.write_gateway()
    machines.write_client(dns_servers=["fe80::53%wan", "fe80::53%nonesuch0", "192.0.2.53:5353"])

    machines.begin_both()

    status = machines.call("client", "status")
    assert status["dns_servers"] == [
        "[fe80::53%wan]:53",
        "[fe80::53%nonesuch0]:53",
        "192.0.2.53:5353",
    ]
    assert len(status["sentinels"]) == 2, "one for each that can be asked"
    machines.wait(lambda: '"dns.unreachable"' in machines.output("client"), "it is told")
    assert machines.output("client").count('"dns.unreachable"') == 1


def test_dns_servers_that_come_while_a_client_starts_are_asked(machines: TwoMachines) -> None:
    machines.client.use_nameserver("192.0.2.99")
    machines.write_client("gw.nowhere.example:52625")
    client = machines.start_again("client")
    # It looks its Gateway up now, where nobody answers.
    machines.wait(lambda: '"host.applied"' in machines.output("client"), "set-up")
    machines.client.use_nameserver("192.0.2.53")

    machines.wait(lambda: machines._is_ready("client", client), "ready")

    def servers() -> list[str]:
        found: list[str] = machines.call("client", "status")["dns_servers"]
        return found

    machines.wait(lambda: servers() == ["192.0.2.53:53"], "the servers of now")


def test_a_file_that_changed_is_followed_and_allowed_flows_go_on(connected: TwoMachines) -> None:
    digest = connected.payload(24 * MIB)
    loading = Loading(connected, URL)
    peer = {"name": "laptop", "public_key": connected.keys["client"], "resources": ["site"]}
    tables = {"client": [peer], "resource": RESOURCES}

    connected.write("gateway", {"dns_servers": [RESOLVER]}, tables)
    connected.running["gateway"].send_signal(signal.SIGHUP)
    connected.wait(lambda: '"config.reloaded"' in connected.output("gateway"), "the reload")

    refused = connected.inside(
        connected.client, "curl", "-sS", "-m", "5", f"http://{SITE[0]}/whoami"
    )
    assert refused.returncode != 0, "the network is not allowed any more"
    assert loading.ended() == digest


def test_files_with_thousands_of_peers_and_resources_are_no_trouble(machines: TwoMachines) -> None:
    names = [resource["name"] for resource in RESOURCES]
    peers: list[dict[str, Any]] = [
        {
            "name": f"laptop {number}",
            "public_key": keys.random_key(),
            "addresses": [f"100.65.{number // 256}.{number % 256}", f"fd00:2021:1111::{number:x}"],
            "resources": names,
        }
        for number in range(1, 2001)
    ]
    peers.append({"name": "laptop", "public_key": machines.keys["client"], "resources": names})
    machines.write("gateway", {"dns_servers": [RESOLVER]}, {"client": peers, "resource": RESOURCES})
    office = {
        "name": "office", "public_key": machines.keys["gateway"], "endpoint": "192.0.2.2:52625"
    }  # fmt: skip
    many = [{"name": f"{n}", "dns": f"*.n{n}.example"} for n in range(6000)]
    machines.write("client", {}, {"gateway": [office], "resource": [*RESOURCES, *many]})

    machines.begin_both()

    assert fetch(machines, f"http://{NAME}/whoami")
    machines.write(
        "gateway", {"dns_servers": [RESOLVER]}, {"client": peers[-1:], "resource": RESOURCES}
    )
    machines.call("gateway", "reload")
    machines.write("gateway", {"dns_servers": [RESOLVER]}, {"client": peers, "resource": RESOURCES})
    machines.call("gateway", "reload")
    assert fetch(machines, f"http://{NAME}/whoami")


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


@pytest.mark.parametrize("wrong", ["public_key", "preshared_key"])
def test_a_wrong_key_is_silence(machines: TwoMachines, wrong: str) -> None:
    nobodys = "bm90IHRoZSBzYW1lIG9uIGJvdGggc2lkZXMgISEhISE="
    peer = {"name": "laptop", "public_key": machines.keys["client"], "resources": ["net4"]}
    tables = {"client": [{**peer, wrong: nobodys}], "resource": RESOURCES}
    machines.write("gateway", {"dns_servers": [RESOLVER]}, tables)
    machines.write_client()
    machines.begin("gateway")
    machines.begin("client")

    tried = machines.inside(machines.client, "curl", "-m", "4", f"http://{SITE[0]}/whoami")

    assert tried.returncode == 28, "curl: timed out"
    assert not machines.call("client", "status")["peers"][0]["connected"]
    assert not machines.call("gateway", "status")["peers"][0]["connected"]


@pytest.mark.parametrize("role", ["gateway", "client"])
def test_flows_go_on_when_an_end_is_killed_and_begun_anew(
    connected: TwoMachines, role: Role
) -> None:
    digest = connected.payload(24 * MIB)
    loading = Loading(connected, URL)

    connected.end(role, signal.SIGKILL)
    connected.begin(role)

    assert loading.ended() == digest
