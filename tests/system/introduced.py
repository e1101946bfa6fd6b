"""A Client and a Gateway that have no file: cores in processes of their own, and a portal that
introduces them."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Self

from tests.system.two_machines import PATIENCE, SITE, Role, TwoMachines

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CLIENT_ID", "RESOURCE", "Portal"]

CLIENT_ID: Final = "11111111-1111-4111-8111-111111111111"
GATEWAY_ID: Final = "22222222-2222-4222-8222-222222222222"
RESOURCE: Final[dict[str, object]] = {
    "id": "7a1f1a0e-6c3c-4a55-9a0b-1f6f0f2f3d01",
    "name": "the site",
    "type": "dns",
    "address": "*.site.example",
}
ADDRESSES: Final = {
    "client": ("100.64.0.2", "fd00:2021:1111::2"),
    "gateway": ("100.64.0.9", "fd00:2021:1111::9"),
}
ROUTES: Final = {
    "client": ("100.64.0.0/10", "fd00:2021:1111::/48"),
    "gateway": ("100.64.0.0/11", "fd00:2021:1111::/107"),
}
PRESHARED: Final = base64.b64encode(bytes(range(32))).decode()
CREDENTIALS: Final = {
    "client": {"username": "w7up", "password": "ksqwm66pilnb7skdwwfw3r"},
    "gateway": {"username": "kwe6", "password": "mzkrj52x5h5ebrfdsh5iyq"},
}
CORE: Final = """
import json, os, select, sys
from firezone import _core

core = _core.Endpoint(sys.argv[1])
core.begin()
print(json.dumps({"type": "started", "public_key": list(core.public_key)}), flush=True)
rest = b""
while True:
    ready, _, _ = select.select([0, core.wake_fd()], [], [])
    if 0 in ready:
        # Without a buffer: what lies in one is nothing that can be waited for.
        *lines, rest = (rest + (came := os.read(0, 65536))).split(b"\\n")
        if not came:
            break
        for line in lines:
            core.command(line.decode())
    if core.wake_fd() in ready:
        os.read(core.wake_fd(), 64)
        for event in core.events():
            print(event, flush=True)
core.stop()
"""
"""Commands come line by line, events go: nothing is decided here."""


class Core:
    """One end: its process, and what it says."""

    def __init__(self, machines: TwoMachines, role: Role) -> None:
        self.role = role
        self._machines = machines
        command = machines.host(role).command(sys.executable, "-c", CORE, json.dumps(_config(role)))
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        started = self.said.get(timeout=PATIENCE)
        self.public_key = base64.b64encode(bytes(started["public_key"])).decode()
        self._set_up()

    def tell(self, command: dict[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(by)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(json.loads(line))

    def _set_up(self) -> None:
        host, (ipv4, ipv6) = self._machines.host(self.role), ADDRESSES[self.role]
        host.ip(
            f"address add {ipv4}/32 dev tun-fz",
            f"address add {ipv6}/128 dev tun-fz nodad",
            "link set tun-fz up mtu 1280",
            *(f"route add {route} dev tun-fz" for route in ROUTES[self.role]),
        )


class Portal:
    """Both ends, and what goes to and fro between them while it is open."""

    def __init__(self, machines: TwoMachines) -> None:
        self.machines = machines
        gateway = machines.gateway
        gateway.sysctl({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"})
        machines.site.ip(
            "route add 100.64.0.0/11 via 10.77.0.1",
            "route add fd00:2021:1111::/107 via fd77::1",
        )
        self.cores: dict[Role, Core] = {}
        self.events: list[tuple[Role, dict[str, Any]]] = []
        self.sentinel: str | None = None
        self.allows = True
        for role in ("gateway", "client"):
            self.begin(role)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None
    ) -> None:
        for core in self.cores.values():
            core.end(signal.SIGKILL)

    def begin(self, role: Role) -> None:
        """Start an end, with a key that nobody knew before."""
        self.cores[role] = Core(self.machines, role)
        if role == "client":
            self.tell("client", "set_dns_servers", servers=["192.0.2.53:53"])
            self.tell("client", "set_resource", resource=RESOURCE)

    def end(self, role: Role) -> None:
        """Kill an end: nobody is told."""
        self.cores.pop(role).end(signal.SIGKILL)

    def tell(self, role: Role, kind: str, **fields: object) -> None:
        self.cores[role].tell({"type": kind, **fields})

    def serve_while(self, process: subprocess.Popen[str]) -> int:
        """Answer both ends until a program has ended; return how."""
        while process.poll() is None:
            self.serve()
        return process.wait()

    def serve_until(self, wanted: Any) -> None:
        """Answer both ends until something was said."""
        self.machines.wait(lambda: self.serve() or any(wanted(e) for _, e in self.events), "it")

    def serve(self) -> None:
        """Answer what was said within a moment."""
        for role, core in list(self.cores.items()):
            with contextlib.suppress(queue.Empty):
                while True:
                    event = core.said.get(timeout=0.01)
                    self.events.append((role, event))
                    self._answer(role, event)

    def _answer(self, role: Role, event: dict[str, Any]) -> None:
        match role, event["type"]:
            case _, "local_candidates":
                self._carry(role, event)
            case "client", "authorization_needed" if self.allows:
                self._authorize(event["resource"])
            case "client", "authorization_needed":
                resource = event["resource"]
                failed = "authorization_failed"
                self.tell("client", failed, resource=resource, reason="forbidden")
            case "gateway", "authorization_created":
                self._introduce_gateway(event["reference"])
            case "client", "sentinels_changed":
                self.sentinel = next(a for a in event["sentinels"] if ":" not in a)
            case "gateway", "resolve_domain":
                found = SITE[event["family"] == "ipv6"]
                result = {"addresses": [[found, 60]]}
                lookup, family = event["lookup"], event["family"]
                resolved = "domain_resolved"
                self.tell("gateway", resolved, lookup=lookup, family=family, result=result)

    def _carry(self, role: Role, event: dict[str, Any]) -> None:
        other: Role = "client" if role == "gateway" else "gateway"
        peer = {other_of(role): GATEWAY_ID if role == "gateway" else CLIENT_ID}
        for lines, kind in (("new", "add"), ("invalidated", "remove")):
            if event[lines]:
                self.tell(other, f"{kind}_remote_candidates", **peer, candidates=event[lines])

    def _authorize(self, resource: str) -> None:
        assert resource == RESOURCE["id"]
        self.tell(
            "gateway",
            "create_authorization",
            reference=resource,
            client={"id": CLIENT_ID, **self._peer("client")},
            resource=RESOURCE,
        )

    def _introduce_gateway(self, resource: str) -> None:
        gateway = {"id": GATEWAY_ID, **self._peer("gateway")}
        self.tell("client", "authorize", resource=resource, gateway=gateway)

    def _peer(self, role: Role) -> dict[str, object]:
        other: Role = "client" if role == "gateway" else "gateway"
        ipv4, ipv6 = ADDRESSES[role]
        endpoint = {
            "session": "ice",
            "public_key": self.cores[role].public_key,
            "preshared_key": PRESHARED,
            "local": CREDENTIALS[other],
            "remote": CREDENTIALS[role],
        }
        return {"ipv4": ipv4, "ipv6": ipv6, "endpoint": endpoint}


def other_of(role: Role) -> str:
    """Return by what name a message tells the other end of one."""
    return "gateway" if role == "gateway" else "client"


def _config(role: Role) -> dict[str, object]:
    ipv4, ipv6 = ADDRESSES[role]
    of_role: dict[str, object] = {
        "client": {
            "refresh_floor": 1.0,
            "proxy_ipv4": "100.96.0.0/11",
            "proxy_ipv6": "fd00:2021:1111:8000::/107",
        },
        "gateway": {
            "cache_floor": 1.0,
            "failure_cache": 1.0,
            "own_addresses": [],
            "allow_real": [],
        },
    }
    limits = {"queue_bytes": 2**20, "queue_packets": 1024, "total_bytes": 2**24, "max_age": 10.0}
    return {
        "role": {role: of_role[role]},
        "tun": "tun-fz",
        "ipv4": ipv4,
        "ipv6": ipv6,
        "port": 52625,
        "buffer": limits,
    }
