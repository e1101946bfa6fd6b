"""What people ask of running endpoints: explain, dns, ping, debug, metrics, flow records."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from tests.system.two_machines import FIREZONE, NAME, PATIENCE, SITE, Role, TwoMachines

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def machines(machines: TwoMachines) -> TwoMachines:
    machines.write_gateway(flow_logs=True)
    machines.write_client(metrics="127.0.0.1:9090")
    machines.begin_both()
    return machines


def firezone(machines: TwoMachines, role: Role, *argv: str) -> subprocess.CompletedProcess[str]:
    namespace = machines.host(role)
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
    told = json.loads(firezone(machines, "client", "ping", NAME, "-c", "2", "--json").stdout)
    assert (told["sent"], told["received"]) == (2, 2)
    assert 0 < told["min_ms"] <= told["avg_ms"] <= told["max_ms"]
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


def test_what_passes_inside_the_tunnel_is_captured_with_its_names(machines: TwoMachines) -> None:
    page = ("curl", "-4", "-sS", "--fail", f"http://{NAME}/whoami")
    assert machines.inside(machines.client, *page).returncode == 0
    written = {role: machines.folder / f"{role}.pcapng" for role in ("client", "gateway")}
    machines.payload(2**20)

    for role, file in written.items():
        namespace = machines.host(role)
        socket = ("--socket", str(machines.folder / f"{role}.sock"))
        argv = (*FIREZONE, "debug", "capture", "-w", str(file), *socket)
        machines.start(f"capture-{role}", namespace, *argv)
        machines.wait(lambda r=role: "looking at" in machines.output(f"capture-{r}"), "capture")
    load = ("curl", "-4", "-sS", "--fail", "-o", "/dev/null", f"http://{NAME}/file")
    assert machines.inside(machines.client, *load).returncode == 0
    for role in written:
        machines.end(f"capture-{role}", signal.SIGINT)
        assert " packets of " in machines.output(f"capture-{role}")
        assert ", 0 missed" in machines.output(f"capture-{role}")

    def told(role: str, *fields: str) -> list[str]:
        shown = (f"-e{field}" for field in fields)
        only = "tcp.flags.syn==1 && tcp.flags.ack==0"
        argv = ("tshark", "-n", "-N", "n", "-r", str(written[role]), "-Y", only, "-T", "fields")
        done = machines.inside(machines.client, *argv, *shown)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert told("client", "ip.dst_host", "frame.packet_flags_direction") == [f"{NAME}\t0x00000002"]
    assert told("gateway", "ip.dst", "ip.dst_host") == [f"{SITE[0]}\t{NAME}"]
    summary = machines.inside(machines.client, "capinfos", "-M", str(written["client"]))
    assert "Raw IP" in summary.stdout
    assert "nanosecond" in summary.stdout


def test_a_capture_that_is_ended_has_the_names_that_came_last(machines: TwoMachines) -> None:
    file = machines.folder / "late.pcapng"
    socket = ("--socket", str(machines.socket("client")))
    argv = (*FIREZONE, "debug", "capture", "-w", str(file), *socket)
    machines.start("capture", machines.client, *argv)
    machines.wait(lambda: "looking at" in machines.output("capture"), "capture")
    # Packets with it have its labels alone, without the dots between.
    query = ("getent", "ahosts", "late.site.example")
    assert machines.inside(machines.client, *query).returncode == 0

    assert machines.end("capture", signal.SIGINT) == 0

    assert b"late.site.example" in file.read_bytes()


def test_a_capture_ends_with_its_endpoint_and_has_what_came_before(machines: TwoMachines) -> None:
    file = machines.folder / "until.pcapng"
    socket = ("--socket", str(machines.socket("gateway")))
    argv = (*FIREZONE, "debug", "capture", "-w", str(file), *socket)
    capture = machines.start("capture", machines.gateway, *argv)
    machines.wait(lambda: "looking at" in machines.output("capture"), "capture")
    page = ("curl", "-4", "-sS", "--fail", f"http://{NAME}/whoami")
    assert machines.inside(machines.client, *page).returncode == 0

    machines.end("gateway")

    assert capture.wait(PATIENCE) == 1
    told = machines.output("capture").splitlines()[-3:]
    assert " packets of " in told[0]
    assert not told[0].startswith("0 "), told
    assert told[1].startswith("error: the network interface ")
    assert told[2] == "hint: what came before is in the file"
    summary = machines.inside(machines.gateway, "capinfos", "-Mc", str(file))
    assert f"packets: {told[0].split()[0]}" in " ".join(summary.stdout.lower().split()), summary


def test_a_capture_ends_by_itself_and_says_what_is_wrong(machines: TwoMachines) -> None:
    file = str(machines.folder / "few.pcapng")
    ended = firezone(machines, "client", "debug", "capture", "-w", file, "--duration", "300ms")
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    machines.start("ping", machines.client, "ping", "-i", "0.2", SITE[0])
    told = firezone(machines, "client", "debug", "capture", "-w", file, "-c", "3", "--json")
    assert json.loads(told.stdout)["packets"] == 3, told.stderr
    machines.end("ping")

    away = firezone(machines, "client", "debug", "capture", "-w", "/nowhere/few.pcapng")
    assert away.returncode == 1
    assert away.stderr.startswith("error: ")
    assert "No such file" in away.stderr
