"""Three namespaces and what joins them: application and Client, Gateway, site.

app      fz-client  100.64.0.1  fd00:2021:1111::1     the application's routes and DNS lead here
gateway  fz-gateway 100.64.0.2  fd00:2021:1111::2     masqueraded towards the site
         uplink     10.77.0.1   fd77::1
site     uplink     10.77.0.2   fd77::2               the resolver; nginx on .11 to .18 and on
                                                      10.77.1.0/24, fd77:0:0:1::/64

Where the two are processes of their own, each host has one device more:

app      wan        192.0.2.1                         what one sends comes out of the other, as
gateway  wan        192.0.2.2                         late as the link says

A laboratory with a bystander has a second Client, in the namespace `other`, on the same Gateway.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from firezone.errors import FirezoneError

from . import namespaces, programs
from .namespaces import Namespace
from .processes import Processes

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CLIENT_TUN", "GATEWAY_TUN", "Laboratory", "choose_congestion_control"]

CLIENT_TUN: Final = "fz-client"
GATEWAY_TUN: Final = "fz-gateway"
CLIENT: Final = ("100.64.0.1", "fd00:2021:1111::1")
BYSTANDER: Final = ("100.64.0.3", "fd00:2021:1111::3")
GATEWAY: Final = ("100.64.0.2", "fd00:2021:1111::2")
GATEWAY_SITE: Final = ("10.77.0.1", "fd77::1")
RESOLVER: Final = "10.77.0.2"
MTU: Final = 1280

_CLIENT_ROUTES: Final = (
    "100.64.0.0/11",
    "100.96.0.0/11",
    "100.100.111.0/24",
    "fd00:2021:1111::/107",
    "fd00:2021:1111:8000::/107",
    "fd00:2021:1111:8000:100:100:111:0/120",
)
_GATEWAY_ROUTES: Final = ("100.64.0.0/11", "fd00:2021:1111::/107")

_SYSCTLS: Final = {
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
}
_FORWARDING: Final = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}

_MASQUERADE: Final = """
add table inet firezone_lab
delete table inet firezone_lab
table inet firezone_lab {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "uplink" masquerade
  }
}
"""


class Laboratory:
    """The namespaces, a folder for files, and the programs that run; all gone at the end.

    A context manager: leaving it by whatever way takes everything away, and `atexit` does where
    leaving did not happen. What a killed laboratory left is removed when the next one begins.

    Args:
        buffer_bytes: What one connection may have under way, so that no queue is ever full.
        bystander: Whether there is a second Client.

    Attributes:
        clients: Namespace and addresses of each Client.
    """

    def __init__(self, *, buffer_bytes: int, bystander: bool = False) -> None:
        self._buffers = {
            "ipv4/tcp_rmem": f"4096 131072 {buffer_bytes}",
            "ipv4/tcp_wmem": f"4096 65536 {buffer_bytes}",
        }
        self.app = Namespace("app")
        self.other = Namespace("other")
        self.clients = [(self.app, CLIENT)] + [(self.other, BYSTANDER)] * bystander
        self.gateway = Namespace("gateway")
        self.site = Namespace("site")
        self.processes = Processes()
        self.folder = Path()
        self._closed = True

    def __enter__(self) -> Self:
        """Build it.

        Raises:
            FirezoneError: A program is missing or the kernel refuses something.
        """
        programs.require()
        namespaces.remove_stale()
        self._closed = False
        atexit.register(self.close)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=f"firezone-lab-{os.getpid()}-"))
            for namespace in self._namespaces():
                namespace.create()
                namespace.sysctl({**_SYSCTLS, **self._buffers})
                choose_congestion_control(namespace)
            self._join_site()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take everything away."""
        self.close()

    def close(self) -> None:
        """Take everything away; safe to call again."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self.processes.kill_all()
        for namespace in self._namespaces():
            namespace.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def configure_tuns(self) -> None:
        """Do what a real Client and Gateway do to their hosts, now that their devices are there."""
        for namespace, addresses in self.clients:
            namespace.ip(
                *_addresses(CLIENT_TUN, addresses),
                *(f"route add {prefix} dev {CLIENT_TUN}" for prefix in _CLIENT_ROUTES),
            )
        self.gateway.ip(
            *_addresses(GATEWAY_TUN, GATEWAY),
            *(f"route add {prefix} dev {GATEWAY_TUN}" for prefix in _GATEWAY_ROUTES),
        )
        self._run_nft(_MASQUERADE)
        # Masquerading only: what the kernel finds odd about a window must still be translated.
        self.gateway.sysctl({"netfilter/nf_conntrack_tcp_be_liberal": "1"})

    def stop_masquerading(self) -> None:
        """Leave the Gateway's packet filter to a real one."""
        self._run_nft("add table inet firezone_lab\ndelete table inet firezone_lab\n")

    def tun_drops(self) -> int:
        """Return how many packets the kernel dropped at the TUN devices since they were opened."""
        drops = 0
        for namespace, device in ((self.app, CLIENT_TUN), (self.gateway, GATEWAY_TUN)):
            statistics = namespace.link(device)["stats64"]
            drops += statistics["tx"]["dropped"] + statistics["rx"]["dropped"]
        return drops

    def _run_nft(self, text: str) -> None:
        namespaces.run(self.gateway.command(programs.find("nft"), "-f", "-"), text=text)

    def _namespaces(self) -> list[Namespace]:
        return [*(namespace for namespace, _ in self.clients), self.gateway, self.site]

    def _join_site(self) -> None:
        gateway, site = self.gateway, self.site
        gateway.sysctl(_FORWARDING)
        gateway.ip(f"link add uplink type veth peer name uplink netns {site.name}")
        gateway.ip(
            f"address add {GATEWAY_SITE[0]}/24 dev uplink",
            f"address add {GATEWAY_SITE[1]}/64 dev uplink nodad",
            "link set uplink up txqueuelen 10000",
        )
        hosts = range(11, 19)
        site.ip(
            f"address add {RESOLVER}/24 dev uplink",
            "address add fd77::2/64 dev uplink nodad",
            *(f"address add 10.77.0.{host}/24 dev uplink" for host in hosts),
            *(f"address add fd77::{host}/64 dev uplink nodad" for host in hosts),
            "link set uplink up txqueuelen 10000",
            # A whole network of addresses, for records that never come back to a former one.
            "route add local 10.77.1.0/24 dev lo",
            "route add local fd77:0:0:1::/64 dev lo",
        )
        gateway.ip(
            f"route add 10.77.1.0/24 via {RESOLVER}", "route add fd77:0:0:1::/64 via fd77::2"
        )


def choose_congestion_control(namespace: Namespace) -> None:
    """Use cubic, or reno where the host allows no other.

    BBR stops by itself every 10 s, and has no more on its way than twice what the least delay takes
    that it ever saw: what is seen then is its model of the path, not the path.
    """
    for name in ("cubic", "reno"):
        with contextlib.suppress(FirezoneError):
            namespace.sysctl({"ipv4/tcp_congestion_control": name})
            return


def _addresses(device: str, addresses: tuple[str, str]) -> list[str]:
    ipv4, ipv6 = addresses
    return [
        # No link-local address: nothing but the application's packets is to enter.
        f"link set {device} addrgenmode none",
        f"link set {device} mtu {MTU} up",
        f"address add {ipv4}/32 dev {device}",
        f"address add {ipv6}/128 dev {device} nodad",
    ]
