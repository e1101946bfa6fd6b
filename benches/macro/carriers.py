"""How each kind of subject begins, and which processes carry its packets."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from firezone.lab.namespaces import run

from .topology import APPLICATION, ENDPOINT, MTU, NAME, SITE, SITE_NETWORK, Row

if TYPE_CHECKING:
    from pathlib import Path

    from .subjects import Subject

__all__ = ["Carrier"]

_PORT = 51820
_PATIENCE = 10


class Carrier:
    """A subject in its row.

    Args:
        subject: Which.
        mark: The letter of its row.
        tun_copy: Where the program is that copies between two TUN devices.
    """

    def __init__(self, subject: Subject, mark: str, tun_copy: Path) -> None:
        self.subject = subject
        self.row = Row(mark)
        self._tun_copy = tun_copy
        self.device = f"wg{os.getpid()}{mark}"
        """Control sockets are files, and those are shared by all namespaces."""

    def begin(self) -> None:
        """Start it, and see a packet go through."""
        {"ours": self._ours, "peer": self._peer, "veth": self._veth, "copy": self._copy}[
            self.subject.kind
        ]()
        ping = ("ping", "-c", "1", "-W", "1", SITE)
        what = f"a packet of {self.subject.name} passes"
        self.row.wait(lambda: self.row.inside(self.row.application, *ping).returncode == 0, what)

    def end(self) -> None:
        """Take it and its row away."""
        self.row.close()

    @property
    def ends(self) -> dict[str, int]:
        """The processes that carry packets, by where they run."""
        running = self.row.running
        return {role: running[role].pid for role in ("client", "gateway") if role in running}

    def target(self, way: str) -> str:
        """Return what the application connects to.

        Args:
            way: `cidr`: the site's address; `dns`: what the name leads to, asked for now.
        """
        if way == "cidr":
            return SITE
        asked = ("dig", "+short", "+tries=3", f"@{self.sentinel}", NAME, "A")
        answers = self.row.inside(self.row.application, *asked).stdout.split()
        assert answers, f"{NAME} has no address"
        return answers[0]

    @property
    def sentinel(self) -> str:
        """Where our Client answers DNS."""
        return self.row.sentinel()

    def _ours(self) -> None:
        row = self.row
        row.write_pair(dict(self.subject.variant or {}))
        row.begin("gateway")
        row.begin("client")
        # The application has this address; what is for it goes on to it.
        row.client.ip(f"address delete {APPLICATION}/32 dev tun-firezone")

    def _peer(self) -> None:
        row = self.row
        row.masquerade()
        self._start_peer("client", "gateway", "endpoint", f"{ENDPOINT}:{_PORT}")
        self._start_peer("gateway", "client")
        row.client.ip(f"route add {SITE_NETWORK} dev {self.device}c")
        row.gateway.ip(f"route add {APPLICATION} dev {self.device}g")

    def _start_peer(self, role: str, other: str, *endpoint: str) -> None:
        row, setting = self.row, self.subject.setting
        assert setting is not None
        host = {"client": row.client, "gateway": row.gateway}[role]
        device = f"{self.device}{role[0]}"
        process = row.start(role, host, *setting.command, device)

        def is_there() -> bool:
            assert process.poll() is None, row.output(role)
            return row.inside(host, "wg", "show", device).returncode == 0

        row.wait(is_there, f"{setting.command[0]} begins")
        key = str(row.folder / f"{role}.key")
        networks = {"client": SITE_NETWORK, "gateway": APPLICATION}[role]
        peer = ("peer", row.keys[other], *endpoint, "allowed-ips", networks)
        told = ("set", device, "listen-port", str(_PORT), "private-key", key, *peer)
        run(host.command("wg", *told))
        host.ip(f"link set {device} mtu {MTU} up")

    def _veth(self) -> None:
        self.row.masquerade()
        self.row.client.ip(f"route add {SITE_NETWORK} via 192.0.2.1")
        self.row.wire.ip(
            f"route add {SITE_NETWORK} via {ENDPOINT}", "route add 10.66.0.0/24 via 192.0.2.2"
        )
        self.row.gateway.ip("route add 10.66.0.0/24 via 198.51.100.1")

    def _copy(self) -> None:
        row = self.row
        row.masquerade()
        names = (row.client.name, f"{self.device}c", row.gateway.name, f"{self.device}g")
        process = row.start("client", row.client, str(self._tun_copy), *names)
        for host, device in ((row.client, names[1]), (row.gateway, names[3])):
            row.wait(lambda h=host, d=device: _has(h.name, d), "a TUN device is there")
            host.ip(f"link set {device} mtu {MTU} up")
        assert process.poll() is None, row.output("client")
        row.client.ip(f"route add {SITE_NETWORK} dev {names[1]}")
        row.gateway.ip(f"route add {APPLICATION} dev {names[3]}")


def _has(namespace: str, device: str) -> bool:
    with contextlib.suppress(subprocess.CalledProcessError):
        shown = ("ip", "-n", namespace, "link", "show", device)
        subprocess.run(shown, check=True, capture_output=True, timeout=_PATIENCE)
        return True
    return False
