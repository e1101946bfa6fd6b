"""A WireGuard program that is not ours, on one of the two hosts, in the place of ours."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.system.two_machines import RESOLVER, UNDERLAY

from firezone.standalone.identity import tunnel_addresses

if TYPE_CHECKING:
    from tests.system.two_machines import Role, TwoMachines

    from firezone.lab.namespaces import Namespace

__all__ = ["WIREGUARD_GO", "PlainWireGuard", "Program"]

MTU: Final = 1420
"""What wg-quick gives its devices on a path of 1500."""
PORT: Final = 51820
NETWORKS: Final = ("10.77.0.0/24", "fd77::/64")
NAMES: Final = ["net4", "net6"]
ADDRESSES: Final = {
    "client": ("10.9.0.1", "fd09::1"),
    "gateway": ("10.9.0.2", "fd09::2"),
}
"""Tunnel addresses of a plain peer: chosen by people, not taken from its key."""
LONG_AGO: Final = 1_000_000_000
"""What no program can mean as a time, since none of them is so old."""
MASQUERADE: Final = """
table inet plain {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "lan" masquerade
  }
}
"""


@dataclass(frozen=True)
class Program:
    """A program that makes a device of the name that follows its arguments.

    Args:
        name: What people call it.
        command: What starts it in the foreground.
        keepalive: Seconds between messages that it needs to be found after its host has moved; 0 if
            it speaks by itself.
    """

    name: str
    command: tuple[str, ...]
    keepalive: int = 0


WIREGUARD_GO: Final = Program("wireguard-go (Debian)", ("wireguard-go", "--foreground"))


class PlainWireGuard:
    """The program in the place of one role; firezone has the other.

    Args:
        machines: The two hosts.
        role: Whose place it takes.
        program: Which program.
    """

    def __init__(self, machines: TwoMachines, role: Role, program: Program) -> None:
        self._machines = machines
        self._role = role
        self._program = program
        self._host = machines.host(role)
        self._other: Role = "gateway" if role == "client" else "client"
        self._other_host = machines.host(self._other)
        self.place, self.other_place = UNDERLAY[role][0], UNDERLAY[self._other][0]
        # Control sockets are files, and those are shared by all namespaces.
        self.device = f"wg-fz{os.getpid()}"

    def begin(self) -> None:
        """Start both sides."""
        self._start()
        if self._role == "client":
            tables = {"client": [self._peer() | {"resources": NAMES}], "resource": RESOURCES}
            self._machines.write("gateway", {"dns_servers": [RESOLVER]}, tables)
            self._machines.begin("gateway")
            self._route_as_client()
        else:
            self._forward_as_gateway()
            endpoint = {"endpoint": f"192.0.2.2:{PORT}"}
            tables = {"gateway": [self._peer() | endpoint], "resource": RESOURCES}
            self._machines.write("client", {"dns_servers": [RESOLVER]}, tables)
            self._machines.begin("client")

    def handshake(self) -> int:
        """Return when the last handshake was, as the program tells it: a Unix time, 0 for never."""
        told = int(self._show("latest-handshakes"))
        # boringtun tells how many seconds ago it was.
        return int(time.time()) - told if 0 < told < LONG_AGO else told

    def endpoint(self) -> str:
        """Return where the program reaches our side."""
        return self._show("endpoints")

    def transferred(self) -> tuple[int, int]:
        """Return bytes received and sent, as the program counts them."""
        received, sent = self._show("transfer").split("\t")
        return int(received), int(sent)

    def allow_itself_everything(self) -> None:
        """Let the program send to any address and hear any: nobody can forbid it that."""
        key = self._machines.keys[self._other]
        self._wg("set", self.device, "peer", key, "allowed-ips", "0.0.0.0/0,::/0")

    def move(self) -> None:
        """Give the program's host another underlay address."""
        self.place = _moved(self._host, self.place)

    def move_other(self) -> None:
        """Give our host another underlay address."""
        self.other_place = _moved(self._other_host, self.other_place)

    def place_known_to_other(self) -> str:
        """Return the underlay address at which our side reaches the program."""
        status = self._machines.call(self._other, "status")
        address: str = status["peers"][0]["address"]
        return address.rpartition(":")[0]

    def _show(self, what: str) -> str:
        shown = self._wg("show", self.device, what).strip()
        return shown.partition("\t")[2]

    def _wg(self, *arguments: str) -> str:
        done = self._machines.inside(self._host, "wg", *arguments)
        assert done.returncode == 0, f"wg {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def _add_peer(self, *peer: str) -> None:
        keepalive = ("persistent-keepalive", str(self._program.keepalive))
        self._wg("set", self.device, "peer", *peer, *keepalive)

    def _start(self) -> None:
        machines = self._machines
        process = machines.start("plain", self._host, *self._program.command, self.device)

        def is_there() -> bool:
            assert process.poll() is None, machines.output("plain")
            return machines.inside(self._host, "wg", "show", self.device).returncode == 0

        machines.wait(is_there, f"{self._program.name} begins")
        key = str(machines.folder / f"{self._role}.key")
        self._wg("set", self.device, "listen-port", str(PORT), "private-key", key)
        ipv4, ipv6 = ADDRESSES[self._role]
        self._host.ip(
            f"address add {ipv4}/32 dev {self.device}",
            f"address add {ipv6}/128 dev {self.device} nodad",
            f"link set {self.device} mtu {MTU} up",
        )

    def _route_as_client(self) -> None:
        """Lead what the Gateway's networks are into the device."""
        peer = (self._machines.keys["gateway"], "endpoint", "192.0.2.2:52625")
        self._add_peer(*peer, "allowed-ips", ",".join(NETWORKS))
        self._host.ip(*(f"route add {network} dev {self.device}" for network in NETWORKS))

    def _forward_as_gateway(self) -> None:
        """Let the kernel do what a gateway does: forward and masquerade."""
        key = self._machines.keys["client"]
        addresses = [str(address) for address in tunnel_addresses(key)]
        self._add_peer(key, "allowed-ips", ",".join(addresses))
        self._host.ip(*(f"route add {address} dev {self.device}" for address in addresses))
        self._host.sysctl({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"})
        rules = self._machines.folder / "masquerade.nft"
        rules.write_text(MASQUERADE)
        done = self._machines.inside(self._host, "nft", "-f", str(rules))
        assert done.returncode == 0, done.stderr

    def _peer(self) -> dict[str, Any]:
        return {
            "name": "plain",
            "public_key": self._machines.keys[self._role],
            "addresses": list(ADDRESSES[self._role]),
            "plain": True,
        }


RESOURCES: Final[list[dict[str, Any]]] = [
    {"name": name, "cidr": network} for name, network in zip(NAMES, NETWORKS, strict=True)
]


def _moved(host: Namespace, place: str) -> str:
    """Replace an underlay address by another of the same network; return that."""
    other = f"192.0.2.{int(place.rpartition('.')[2]) + 10}"
    # The first address takes those with it that came later.
    host.ip(f"address del {place}/24 dev wan", f"address add {other}/24 dev wan")
    return other
