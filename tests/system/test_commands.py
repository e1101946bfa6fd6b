"""What people ask of running endpoints: explain, dns, ping, debug, metrics, flow records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.system.two_machines import FIREZONE, NAME, SITE, Role, TwoMachines

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def machines(machines: TwoMachines) -> TwoMachines:
    machines.write_gateway(flow_logs=True)
    machines.write_client(metrics="127.0.0.1:9090")
    machines.begin_both()
    return machines


def firezone(machines: TwoMachines, role: Role, *argv: str) -> subprocess.CompletedProcess[str]:
    namespace = {"client": machines.client, "gateway": machines.gateway}[role]
    socket = ("--socket", str(machines.socket(role)))
    return machines.inside(namespace, *FIREZONE, *argv, *socket)


def test_people_are_told_what_happens(machines: TwoMachines) -> None:
    before = firezone(machines, "client", "explain", NAME, "80")
    assert before.stdout.startswith(f"{NAME} tcp/80 would pass\n"), before.stderr
    assert "none yet: the first query does" in before.stdout

    query = firezone(machines, "client", "dns", "query", NAME)
    assert query.returncode == 0, query.stderr
    assert f"{NAME}. " in query.stdout
    assert "NOERROR" in query.stderr
    mail = firezone(machines, "client", "dns", "query", NAME, "MX", "--json")
    assert "10 mail.site.example." in json.loads(mail.stdout)["answer"][0]

    for target in (NAME, SITE[0], SITE[1]):
        ping = firezone(machines, "client", "ping", target, "-c", "1")
        assert ping.returncode == 0, ping.stdout + ping.stderr
    away = firezone(machines, "client", "ping", "198.51.100.1", "-c", "1")
    assert (away.returncode, away.stderr.splitlines()[0]) == (
        1, "error: no resource covers 198.51.100.1",
    )  # fmt: skip

    page = machines.inside(machines.client, "curl", "-sS", "--fail", f"http://{NAME}/whoami")
    assert page.returncode == 0, page.stderr
    here = firezone(machines, "client", "explain", NAME, "80")
    assert "gateway:   office, answers" in here.stdout
    assert "100.96." in here.stdout
    there = firezone(machines, "gateway", "explain", NAME, "80")
    assert f"{NAME} tcp/80 from laptop would pass" in there.stdout, there.stderr
    assert f"-> {SITE[0]}" in there.stdout
    print(before.stdout, query.stdout, query.stderr, here.stdout, there.stdout)  # noqa: T201

    peers = firezone(machines, "gateway", "debug", "peers")
    assert "laptop" in peers.stdout
    scraped = machines.inside(machines.client, "curl", "-sS", "http://127.0.0.1:9090/metrics")
    text = firezone(machines, "client", "debug", "metrics").stdout
    for metrics in (scraped.stdout, text):
        assert 'firezone_peer_connected{peer="office",role="client"} 1.0' in metrics
        assert "firezone_packets_refused_total{reason=" in metrics
    print(peers.stdout, text)  # noqa: T201


def test_r39_flow_records_tell_who_used_what(machines: TwoMachines) -> None:
    machines.payload(2**20)
    got = machines.inside(
        machines.client, "curl", "-4", "-sS", "-o", "/dev/null", f"http://{NAME}/file"
    )
    assert got.returncode == 0, got.stderr
    machines.write("gateway", {"flow_logs": True}, {})

    machines.call("gateway", "reload")

    machines.wait(lambda: '"flow.closed"' in machines.output("gateway"), "the record")
    lines = machines.output("gateway").splitlines()
    closed = [json.loads(line) for line in lines if '"flow.closed"' in line]
    record = next(line for line in closed if line["protocol"] == "tcp")
    assert record["severity"] == "INFO"
    assert (record["client_name"], record["resource_name"]) == ("laptop", "site")
    assert (record["name"], record["real"], record["remote_port"]) == (NAME, SITE[0], 80)
    assert record["received_bytes"] > 2**20
    print(json.dumps(record))  # noqa: T201
