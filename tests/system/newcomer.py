"""A plain WireGuard Client that nobody has heard of yet, beside ours on the same host."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from tests.system.two_machines import RESOLVER, RESOURCES

if TYPE_CHECKING:
    from tests.system.two_machines import TwoMachines

__all__ = ["Newcomer"]

PROGRAM: Final = ("wireguard-go", "--foreground")
PATIENCE: Final = 90
"""Seconds for which a WireGuard peer tries."""


class Newcomer:
    """One that the Gateway's file knows, and that connects when it is told to.

    Args:
        machines: Where.
    """

    def __init__(self, machines: TwoMachines) -> None:
        self._machines = machines
        # Control sockets are files, and those are shared by all namespaces.
        self.device = f"wg-fz{os.getpid()}"
        self._key = machines.folder / "newcomer.key"
        self._key.write_text(machines.inside(machines.client, "wg", "genkey").stdout)
        shell = ("sh", "-c", f"wg pubkey < {self._key}")
        self.public_key = machines.inside(machines.client, *shell).stdout.strip()

    def write_gateway(self) -> None:
        """Write the Gateway's file: our Client and this one."""
        laptop: dict[str, Any] = {
            "name": "laptop",
            "public_key": self._machines.keys["client"],
            "resources": [resource["name"] for resource in RESOURCES],
        }
        newcomer: dict[str, Any] = {
            "name": "newcomer",
            "public_key": self.public_key,
            "resources": ["net4"],
            "addresses": ["10.9.0.1", "fd09::1"],
            "plain": True,
        }
        tables = {"client": [laptop, newcomer], "resource": RESOURCES}
        self._machines.write("gateway", {"dns_servers": [RESOLVER]}, tables)

    def begin(self) -> float:
        """Connect; return the seconds until its handshake was done."""
        machines, host = self._machines, self._machines.client
        machines.start("newcomer", host, *PROGRAM, self.device)
        shown = ("wg", "show", self.device)
        machines.wait(lambda: machines.inside(host, *shown).returncode == 0, "wireguard-go")
        peer = ("peer", machines.keys["gateway"], "endpoint", "192.0.2.2:52625")
        allowed = ("allowed-ips", "10.77.0.0/24", "persistent-keepalive", "1")
        own = ("private-key", str(self._key))
        done = machines.inside(host, "wg", "set", self.device, *own, *peer, *allowed)
        assert done.returncode == 0, done.stderr
        began = time.monotonic()
        host.ip(f"link set {self.device} up")
        while not self._is_greeted():
            passed = time.monotonic() - began
            assert passed < PATIENCE, f"no handshake with the newcomer in {PATIENCE} s"
            time.sleep(0.05)
        return time.monotonic() - began

    def _is_greeted(self) -> bool:
        shown = ("wg", "show", self.device, "latest-handshakes")
        return int(self._machines.inside(self._machines.client, *shown).stdout.split()[1]) > 0
