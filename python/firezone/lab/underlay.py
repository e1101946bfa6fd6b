"""The network between two hosts of the laboratory, and who listens in on it."""

from __future__ import annotations

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from firezone._core import LabPath

from .capture import Capture

if TYPE_CHECKING:
    from pathlib import Path

    from .namespaces import Namespace
    from .processes import Processes
    from .settings import LinkSettings

__all__ = ["ADDRESSES", "DEVICE", "PORT", "Underlay", "Wiretap"]

DEVICE: Final = "wan"
ADDRESSES: Final = ("192.0.2.1", "192.0.2.2")
"""Of the Client's host and of the Gateway's (RFC 5737)."""
PORT: Final = 52625
"""The Gateway's."""
_MTU: Final = 1500

# The first byte says which of the four messages it is, three zeros follow.
_WIREGUARD: Final = (
    f"udp port {PORT} and udp[8] >= 1 and udp[8] <= 4 and udp[9] = 0 and udp[10:2] = 0"
)


class Underlay:
    """A device on each of two hosts, and what carries packets from one to the other.

    Args:
        hosts: The Client's and the Gateway's.
        link: What happens on the way.
    """

    def __init__(self, hosts: tuple[Namespace, Namespace], link: LinkSettings) -> None:
        self._hosts = hosts
        ends = [{"tun": DEVICE, "namespace": str(h.path), "link": link.line()} for h in hosts]
        config = json.dumps({"seed": link.seed, "ends": ends})
        # Threads begin with the priority of who starts them.
        with ThreadPoolExecutor(1, initializer=_hurry) as executor:
            self._path = executor.submit(LabPath, config).result()
        for host, address in zip(hosts, ADDRESSES, strict=True):
            # Nothing is to cross by itself, not even what kernels tell each other about IPv6.
            host.sysctl({f"ipv6/conf/{DEVICE}/disable_ipv6": "1"})
            host.ip(
                f"link set {DEVICE} mtu {_MTU} up",
                f"address add {address}/24 dev {DEVICE}",
            )

    def crossed(self) -> int:
        """Return how many packets both hosts have sent."""
        return sum(entered for entered, _, _, _ in self._path.counters())

    def losses(self) -> int:
        """Return how many packets were lost on the way, or found its queue full."""
        return sum(lost + cut_off for _, lost, cut_off, _ in self._path.counters())

    def kernel_drops(self) -> int:
        """Return how many packets a host's kernel did not put on the wire, or take from it."""
        refused = sum(refused for _, _, _, refused in self._path.counters())
        statistics = [host.link(DEVICE)["stats64"] for host in self._hosts]
        return refused + sum(int(s[way]["dropped"]) for s in statistics for way in ("tx", "rx"))

    def stop(self) -> None:
        """Take both devices away."""
        self._path.stop()


class Wiretap:
    """Captures what crosses the underlay without being WireGuard's: nothing should.

    Args:
        capture: Of all else.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    @classmethod
    async def start(cls, processes: Processes, host: Namespace, folder: Path) -> Wiretap:
        """Begin to listen, at one end, for what travels either way."""
        wanted = f"not ({_WIREGUARD})"
        path = folder / f"{DEVICE}.pcap"
        capture = Capture.start(processes, host, DEVICE, path, "--immediate-mode", wanted)
        return cls(await capture)

    async def stop(self) -> int:
        """End and return how many packets were anything else, or were missed."""
        await self._capture.stop()
        return self._capture.captured + self._capture.dropped


def _hurry() -> None:
    """Let the calling thread run whenever it can, if that is allowed: a wire waits for nobody."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
