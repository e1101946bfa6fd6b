"""A second Gateway to the same site, on a host and by ways of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final, Self

from tests.system.two_machines import FIREZONE, QUIET, RESOLVER, RESOURCES

from firezone.lab.namespaces import Namespace

if TYPE_CHECKING:
    from tests.system.two_machines import TwoMachines

__all__ = ["SecondGateway"]

WAN: Final = ("198.51.100.1/24", "198.51.100.2/24")
LAN: Final = ("10.78.0.1/24", "10.78.0.2/24")
SITE_LAN: Final = "10.77.0.0/24"


class SecondGateway:
    """Joins another host to the Client's and to the site, and runs a Gateway on it.

    Args:
        machines: The Client, its first Gateway, and the site.
    """

    def __init__(self, machines: TwoMachines) -> None:
        self._machines = machines
        self._host = Namespace("second")
        self._key = ""

    def __enter__(self) -> Self:
        machines = self._machines
        self._host.create()
        self._host.sysctl(QUIET)
        for device, other, (far, own) in (
            ("wan2", machines.client, WAN),
            ("lan2", machines.site, LAN[::-1]),
        ):
            other.ip(f"link add {device} type veth peer name {device} netns {self._host.name}")
            for host, address in ((other, far), (self._host, own)):
                host.ip(f"address add {address} dev {device}", f"link set {device} up")
        self._host.ip(f"route add {SITE_LAN} via {LAN[1].partition('/')[0]} dev lan2")
        key = str(machines.folder / "second.key")
        made = subprocess.run(
            [*FIREZONE, "keys", "new", key], capture_output=True, text=True, check=True
        )
        self._key = made.stdout.strip()
        return self

    def __exit__(self, *_: object) -> None:
        if "second" in self._machines.running:
            self._machines.end("second")
        self._host.remove()

    def write_client(self) -> None:
        """Write the Client's file: the first Gateway, then this one, for every resource."""
        machines = self._machines
        gateways = [
            {
                "name": "first",
                "public_key": machines.keys["gateway"],
                "endpoint": "192.0.2.2:52625",
            },
            {
                "name": "second",
                "public_key": self._key,
                "endpoint": f"{WAN[1].partition('/')[0]}:52625",
            },
        ]
        machines.write("client", {}, {"gateway": gateways, "resource": RESOURCES})

    def begin(self) -> None:
        """Write this Gateway's file as the first one's is, and start it."""
        machines, folder = self._machines, self._machines.folder
        text = machines.file("gateway").read_text()
        for name in ("gateway.key", "gateway.sock"):
            text = text.replace(name, name.replace("gateway", "second"))
        for name in ("state", "run", "logs"):
            text = text.replace(str(folder / name), str(folder / f"second-{name}"))
        file = folder / "second.toml"
        file.touch(mode=0o600)
        file.write_text(text)
        process = machines.start(
            "second", self._host, *FIREZONE, "gateway", "run", "--config", str(file)
        )

        def is_ready() -> bool:
            assert process.poll() is None, machines.output("second")
            return (folder / "second.sock").exists()

        machines.wait(is_ready, "the second Gateway")
        # It must reach the site's name servers, or its answers would prove nothing.
        asked = machines.inside(self._host, "dig", "+short", f"@{RESOLVER}", "app.site.example")
        assert asked.stdout, asked.stderr
