"""Five hosts in a row: application, client, wire, gateway, site; one such row for each subject.

    application --app-- client --wan-- wire --wan-- gateway --lan-- site

Rows stand side by side for the whole run, so that a sample begins at once and subjects take turns.
The application's address is the tunnel address of the client: what enters the tunnel is routed
there and translated nowhere. The gateway masquerades, whoever the subject is.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final, Self

from tests.system.two_machines import FIREZONE, NAME, QUIET, TwoMachines

from firezone.errors import FirezoneError
from firezone.lab.namespaces import Namespace, run
from firezone.lab.topology import choose_congestion_control

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "APPLICATION", "ENDPOINT", "MTU", "NAME", "RESOLVER", "SITE", "SITE_NETWORK", "Row",
]  # fmt: skip

MTU: Final = 1280
APPLICATION: Final = "10.66.0.2"
SITE: Final = "10.77.0.11"
RESOLVER: Final = "10.77.0.2"
SITE_NETWORK: Final = "10.77.0.0/24"
ENDPOINT: Final = "198.51.100.2"
"""The gateway's underlay address."""
_CLIENT: Final = "192.0.2.2"
_ROUTER: Final = {"client": "192.0.2.1", "gateway": "198.51.100.1"}
SEGMENTATION: Final = ("tx-udp-segmentation", "tso", "gso", "gro")
"""What profile N turns off, as a network card without these is."""
_TOLD: Final = (
    "rx-checksumming", "tx-checksumming", "tcp-segmentation-offload", "tx-udp-segmentation",
    "generic-segmentation-offload", "generic-receive-offload",
)  # fmt: skip
FORWARDING: Final = {"ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0"}
_MASQUERADE: Final = """
table inet plain {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "lan" masquerade
  }
}
"""


class Row(TwoMachines):
    """The hosts of one subject.

    Args:
        mark: A letter by which its namespaces differ from those of the other rows.
    """

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark
        self.application = Namespace(f"application{mark}")
        self.client, self.wire = Namespace(f"client{mark}"), Namespace(f"wire{mark}")
        self.gateway, self.site = Namespace(f"gateway{mark}"), Namespace(f"site{mark}")

    def __enter__(self) -> Self:
        super().__enter__()
        for host in (self.application, self.site):
            choose_congestion_control(host)
        return self

    @property
    def hosts(self) -> tuple[Namespace, ...]:
        """All of them, in order."""
        return (self.application, self.client, self.wire, self.gateway, self.site)

    @property
    def pids(self) -> list[int]:
        """The processes that run in it."""
        return [process.pid for process in self.running.values()]

    def stop_segmenting(self) -> None:
        """Make the wire one of profile N; until then it is as the kernel makes it, profile V."""
        flags = [word for flag in SEGMENTATION for word in (flag, "off")]
        for host, device in self._underlay():
            run(host.command("ethtool", "-K", device, *flags))

    def offloads(self) -> dict[str, str]:
        """Return what `ethtool -k` says of the client's underlay device."""
        said = run(self.client.command("ethtool", "-k", "wan")).splitlines()
        pairs = [line.strip().split(": ", 1) for line in said if ": " in line]
        return {flag: state for flag, state in pairs if flag in _TOLD}

    def segment_for_capture(self, *, on: bool) -> None:
        """Let each packet reach the site alone, so that a capture sees each."""
        state = "off" if on else "on"
        flags = [word for flag in SEGMENTATION[:3] for word in (flag, state)]
        run(self.gateway.command("ethtool", "-K", "lan", *flags))

    def masquerade(self) -> None:
        """Let the gateway's kernel do what our Gateway asks it to do."""
        run(self.gateway.command("nft", "-f", "-"), text=_MASQUERADE)

    def write_pair(self, variant: dict[str, object]) -> None:
        """Write the files of our Client and our Gateway."""
        addresses = {"client": [APPLICATION, "fd66::2"], "gateway": ["10.66.1.1", "fd66:1::1"]}
        common: dict[str, object] = {"log_level": "info", **variant}
        resources: list[dict[str, Any]] = [
            {"name": "names", "dns": "*.site.example"},
            {"name": "network", "cidr": SITE_NETWORK},
        ]
        gateway = {
            "name": "office",
            "public_key": self.keys["gateway"],
            "endpoint": f"{ENDPOINT}:52625",
            "addresses": addresses["gateway"],
        }
        client = {
            "name": "laptop",
            "public_key": self.keys["client"],
            "resources": [resource["name"] for resource in resources],
            "addresses": addresses["client"],
        }
        self.write(
            "client",
            {"tunnel_addresses": ",".join(addresses["client"]), **common},
            {"gateway": [gateway], "resource": resources},
        )
        self.write(
            "gateway",
            {
                "tunnel_addresses": ",".join(addresses["gateway"]),
                "dns_servers": [RESOLVER],
                **common,
            },
            {"client": [client], "resource": resources},
        )

    def _underlay(self) -> Iterator[tuple[Namespace, str]]:
        yield self.client, "wan"
        yield self.gateway, "wan"
        yield self.wire, "left"
        yield self.wire, "right"

    def _build(self) -> None:
        for host in self.hosts:
            host.create()
            host.sysctl(QUIET)
        for host in (self.client, self.wire, self.gateway):
            host.sysctl(FORWARDING)
        self._cable((self.application, "app", APPLICATION), (self.client, "app", "10.66.0.1"))
        self._cable((self.client, "wan", _CLIENT), (self.wire, "left", _ROUTER["client"]))
        self._cable((self.wire, "right", _ROUTER["gateway"]), (self.gateway, "wan", ENDPOINT))
        self._cable((self.gateway, "lan", "10.77.0.1"), (self.site, "lan", RESOLVER))
        self.site.ip(f"address add {SITE}/24 dev lan")
        self.client.ip(f"route add 198.51.100.0/24 via {_ROUTER['client']}")
        self.gateway.ip(f"route add 192.0.2.0/24 via {_ROUTER['gateway']}")
        # The same size of packets for all, tunnel or not.
        self.application.ip(f"route add default via 10.66.0.1 mtu {MTU}")
        self.site.ip(
            f"route add 10.66.0.0/24 via 10.77.0.1 mtu {MTU}",
            f"route change {SITE_NETWORK} dev lan proto kernel scope link src {RESOLVER} mtu {MTU}",
        )
        self._keys()
        self._serve()

    def _cable(self, here: tuple[Namespace, str, str], there: tuple[Namespace, str, str]) -> None:
        (host, device, address), (other, far, far_address) = here, there
        host.ip(f"link add {device} type veth peer name {far} netns {other.name}")
        for namespace, name, own in ((host, device, address), (other, far, far_address)):
            namespace.ip(f"address add {own}/24 dev {name}", f"link set {name} up")

    def _keys(self) -> None:
        for role in ("client", "gateway"):
            made = subprocess.run(
                [*FIREZONE, "keys", "new", str(self.folder / f"{role}.key")],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            self.keys[role] = made.stdout.strip()

    def _serve(self) -> None:
        self.start("iperf3", self.site, "iperf3", "--server", "--bind", SITE)
        self.start(
            "dnsmasq", self.site, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
            "--no-hosts", "--no-resolv", "--user=root", f"--listen-address={RESOLVER}",
            "--bind-interfaces", f"--address=/site.example/{SITE}",
            f"--pid-file={self.folder}/dnsmasq.pid",
        )  # fmt: skip


def require(*programs: str) -> None:
    """Say at once which program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise FirezoneError(f"missing programs: {', '.join(missing)}", hint="make bench-macro")
