"""A Client or a Gateway is replaced by another process in mid-transfer: nobody notices (R38)."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tests.system.service_manager import ServiceManager
from tests.system.transfers import MIB, Loading, fetch
from tests.system.two_machines import NAME, PATIENCE, SITE, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.two_machines import Role

URL = f"http://{NAME}/file"
ROLES: list[Role] = ["client", "gateway"]
SECRETS = (b"fzconn", b"fzwg")
"""What sessions begin with, wherever they are."""

ASK = r'''
"""Asks for everything, and goes without a word once it has it."""
import socket, sys
path, says = sys.argv[1:]
ask = socket.socket(socket.AF_UNIX)
ask.connect(path)
ask.sendall(says.encode())
line, numbers, _, _ = socket.recv_fds(ask, 4096, 16)
print(line.decode().strip(), len(numbers), flush=True)
'''

REPLAY = r'''
"""Datagrams to an address, caught on their way, and sent again when a file is there."""
import pathlib, socket, sys, time
there, go = socket.inet_aton(sys.argv[1]), pathlib.Path(sys.argv[2])
catch = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
catch.bind(("wan", 0x0003))
catch.settimeout(0.1)
again = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
caught = []
while not go.exists():
    try:
        data, _ = catch.recvfrom(65536)
    except TimeoutError:
        continue
    # Data of WireGuard in one datagram.
    if data[:1] == b"\x45" and data[16:20] == there and data[28:32] == b"\4\0\0\0":
        if len(data) < 1400 and len(caught) < 500:
            caught.append(data[:26] + b"\0\0" + data[28:])
for data in caught:
    again.sendto(data, (sys.argv[1], 0))
print(len(caught), flush=True)
'''

SERVER = r'''
"""Answers one datagram, when a file is there."""
import pathlib, socket, sys, time
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind((sys.argv[1], 9000))
print("ready", flush=True)
_, asker = own.recvfrom(100)
print("asked", flush=True)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.05)
for _ in range(50):
    own.sendto(b"an answer", asker)
    time.sleep(0.1)
'''

ASKER = r'''
"""Sends one datagram and waits for the answer."""
import socket, sys
where = socket.getaddrinfo(sys.argv[1], 9000, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.connect(where)
own.settimeout(60)
own.send(b"a question")
print(own.recv(100).decode())
'''


@pytest.fixture
def managed(machines: TwoMachines) -> Iterator[TwoMachines]:
    """Two hosts, each with a service manager that keeps what is left to it."""
    managers = {role: ServiceManager(machines.folder / f"{role}.notify") for role in ROLES}
    with managers["client"], managers["gateway"]:
        for role, manager in managers.items():
            machines.manage(role, manager)
        machines.write_gateway(descriptor_store="always")
        machines.write_client(descriptor_store="always")
        machines.begin_both()
        yield machines
        for name in reversed(list(machines.running)):
            machines.end(name, signal.SIGKILL)


def events(machines: TwoMachines, role: Role, event: str) -> list[dict[str, Any]]:
    """Return the lines of a log that tell of an event."""
    lines = (line for line in machines.output(role).splitlines() if f'"{event}"' in line)
    return [json.loads(line) for line in lines]


def told(machines: TwoMachines, role: Role, event: str) -> dict[str, Any]:
    """Wait for a line of a log, which is written a moment later; there is one."""
    machines.wait(lambda: events(machines, role, event), f"{event} is told")
    (line,) = events(machines, role, event)
    return line


def device(machines: TwoMachines, role: Role) -> int:
    """Return the number of a role's device: another one if it was made anew."""
    index: int = machines.host(role).link("tun-firezone")["ifindex"]
    return index


def look(machines: TwoMachines, role: Role) -> list[list[str]]:
    """Return what a host has of addresses, routes, rules and packet filters."""
    commands = ("ip -o link", "ip rule; ip -6 rule", "ip route show table all", "nft list ruleset")
    shown = [machines.inside(machines.host(role), "sh", "-c", text).stdout for text in commands]
    return [text.splitlines() for text in shown]


def went_on(machines: TwoMachines, role: Role) -> None:
    """Check that a successor took over everything, and that nothing was undone in between."""
    taken = told(machines, role, "handover.taken")
    assert taken["peers"] == 1, taken
    assert taken["seconds"] < PATIENCE
    assert role == "client" or taken["flows"] > 0
    said = machines.output(role)
    assert "handover.done" in said
    for word in ("host.undone", "Traceback", "refused", "handover.forgotten"):
        assert word not in said, word


def stop_by_store(machines: TwoMachines, role: Role) -> ServiceManager:
    """End a role that leaves everything with its service manager."""
    assert machines.end(role) == 0, machines.output(role)
    manager = machines.managers[role]
    names = sorted(manager.names)
    assert names == [f"firezone-{name}" for name in ("memory", "sessions", "tun", "udp", "udp")]
    return manager


@pytest.mark.parametrize("role", ROLES)
def test_r38_an_upgrade_is_not_noticed(connected: TwoMachines, role: Role) -> None:
    digest = connected.payload(24 * MIB)
    loading = Loading(connected, URL)
    before = device(connected, role)

    assert connected.upgrade(role) == 0, connected.output(role)

    assert loading.ended() == digest
    assert device(connected, role) == before
    went_on(connected, role)
    assert fetch(connected, URL) == digest
    assert connected.end(role) == 0
    assert "tun-firezone" not in str(look(connected, role))


@pytest.mark.parametrize("role", ROLES)
def test_r38_sigterm_and_a_start_by_a_service_manager_are_not_noticed(
    managed: TwoMachines, role: Role
) -> None:
    digest = managed.payload(24 * MIB)
    loading = Loading(managed, URL)
    before = device(managed, role)

    manager = stop_by_store(managed, role)
    assert device(managed, role) == before, "the store keeps it"
    kept = [p for p in managed.folder.rglob("*") if p.is_file() and p.stat().st_size < 64 * MIB]
    assert not [p for p in kept if any(secret in p.read_bytes() for secret in SECRETS)]
    memory = manager.descriptor("firezone-memory")
    content = os.pread(memory, os.fstat(memory).st_size, 0)
    assert not any(secret in content for secret in SECRETS), "keys are in the socket alone"
    managed.begin(role)

    assert manager.names == [], "what was taken is kept no longer"
    assert loading.ended() == digest
    assert device(managed, role) == before
    went_on(managed, role)
    manager.drop()


def test_r38_what_was_received_before_is_refused_after(connected: TwoMachines) -> None:
    # At its rate it outlasts a start that takes long.
    digest = connected.payload(64 * MIB)
    loading = Loading(connected, URL)
    go = connected.folder / "go"
    connected.sends_datagrams_alone("client")
    script = connected.script("replay", REPLAY)
    replay = connected.start("replay", connected.client, *script, "192.0.2.2", str(go))
    loading.grows(4 * MIB)

    assert connected.upgrade("gateway") == 0
    before = connected.call("gateway", "counters")[0]["datagrams"]["replayed"]
    loading.grows(MIB)
    go.touch()

    assert replay.wait(PATIENCE) == 0
    caught = int(connected.output("replay"))
    # An acknowledgement is for many packets, where the kernel joins them.
    assert caught > 2
    assert loading.ended() == digest
    after = connected.call("gateway", "counters")[0]["datagrams"]["replayed"]
    assert after - before >= caught


@pytest.mark.parametrize("part", ["memory", "sessions"])
def test_r38_damaged_state_is_told_and_the_start_goes_on_without_it(
    managed: TwoMachines, part: str
) -> None:
    digest = managed.payload(24 * MIB)
    loading = Loading(managed, URL)
    manager = stop_by_store(managed, "gateway")
    if part == "memory":
        memory = manager.descriptor("firezone-memory")
        os.pwrite(memory, b"#", os.fstat(memory).st_size - 40)
    else:
        ours, theirs = socket.socketpair()
        ours.sendall(b"fzconn and nothing that makes sense")
        ours.close()
        manager.replace("firezone-sessions", theirs.detach())

    managed.begin("gateway")

    assert loading.ended() == digest
    refused = events(managed, "gateway", "handover.part_refused")
    assert refused
    assert all("anew" in event["reason"] for event in refused)
    assert "Traceback" not in managed.output("gateway")


def test_r38_without_anybody_to_take_over_from_it_just_starts(machines: TwoMachines) -> None:
    machines.write_gateway()
    process = machines.start_again("gateway", "--take-over")

    machines.wait(lambda: events(machines, "gateway", "gateway.ready"), "it is ready")

    assert process.poll() is None
    assert told(machines, "gateway", "handover.nobody")["severity"] == "INFO"


@pytest.mark.parametrize("role", ROLES)
def test_r38_a_successor_that_dies_leaves_the_host_as_it_was_before(
    machines: TwoMachines, role: Role
) -> None:
    before = look(machines, role)
    machines.write_gateway()
    machines.write_client()
    machines.begin("gateway")
    machines.begin("client")
    path = str(machines.folder / "run" / f"{role}.handover.sock")
    request = '{"take_over": 1}\n'

    done = machines.inside(machines.host(role), *machines.script("ask", ASK), path, request)

    assert "tun" in done.stdout, done.stderr
    assert machines.running[role].wait(PATIENCE) != 0
    said = machines.output(role)
    assert "the successor has gone" in said
    assert "Traceback" not in said
    assert look(machines, role) == before
    machines.running.pop(role)
    machines.begin(role)


def test_r38_only_root_and_its_own_user_may_take_over(machines: TwoMachines) -> None:
    machines.write_gateway()
    machines.begin("gateway")
    path = machines.folder / "run" / "gateway.handover.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    for folder in (path, path.parent):
        folder.chmod(0o777)
    ask = machines.script("ask", ASK)
    nobody = ("setpriv", "--reuid=65534", "--clear-groups", "--")

    refused = machines.inside(machines.gateway, *nobody, *ask, str(path), '{"take_over": 1}\n')
    other = machines.inside(machines.gateway, *ask, str(path), '{"take_over": 7}\n')
    noise = machines.inside(machines.gateway, *ask, str(path), "[" * 3000 + "\n")

    assert "neither root nor the user" in refused.stdout, refused.stderr
    assert "version 7" in other.stdout
    assert "no request" in noise.stdout
    assert all(done.stdout.strip().endswith(" 0") for done in (refused, other, noise))
    assert machines.call("gateway", "status")["tun"] == "tun-firezone"


def test_r38_nat_state_outlives_a_gateway_that_ends_by_itself(connected: TwoMachines) -> None:
    go, state = connected.folder / "go", connected.folder / "state" / "gateway" / "nat.state"
    server = connected.script("server", SERVER)
    connected.start("server", connected.site, *server, SITE[0], str(go))
    # It asks once.
    connected.wait(lambda: "ready" in connected.output("server"), "the server")
    connected.start("asker", connected.client, *connected.script("asker", ASKER), NAME)
    connected.wait(lambda: "asked" in connected.output("server"), "the question")

    assert connected.end("gateway") == 0
    assert state.stat().st_mode & 0o777 == 0o600
    assert not any(secret in state.read_bytes() for secret in SECRETS)
    connected.begin("gateway")
    go.touch()

    # The site speaks first, and nobody else could say whose the answer is.
    assert connected.running["asker"].wait(PATIENCE) == 0, connected.output("asker")
    assert connected.output("asker").strip() == "an answer"
    assert not state.exists(), "it is true once"
    assert told(connected, "gateway", "handover.taken")["flows"] > 0


def test_r38_a_kept_state_that_is_damaged_is_not_used(machines: TwoMachines) -> None:
    folder = machines.folder / "state" / "gateway"
    folder.mkdir(parents=True)
    (folder / "nat.state").write_bytes(b"nothing that makes sense")
    machines.write_gateway()

    machines.begin("gateway")

    assert told(machines, "gateway", "state.unread")
    assert not (folder / "nat.state").exists()
