"""What is measured, of whom, and how a sample of it is taken."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from firezone.errors import FirezoneError

from . import capture, iperf, latency, syscalls
from .subjects import OURS
from .topology import NAME, SITE
from .usage import Machine, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .carriers import Carrier
    from .subjects import Subject

__all__ = ["METRICS", "Length", "Metric"]

QUERIES: Final = 1000
"""A second, in the rows that say so."""
_PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Length:
    """How long samples take.

    Args:
        tcp: Seconds of one stream that count.
        many: The same of eight streams.
        omit: Seconds before them, while TCP finds its rate.
        udp: Seconds at each fixed rate.
        idle: Seconds of echo requests on an idle tunnel.
        ceiling: Gb/s of one stream that were seen before, for what is taken at half of it.
    """

    tcp: float = 6
    many: float = 4
    omit: float = 2
    udp: float = 4
    idle: float = 3
    ceiling: float = 1


@dataclass(frozen=True)
class Metric:
    """One kind of sample.

    Args:
        name: What `--metrics` and the JSON call it.
        take: Takes it.
        kinds: Of which kinds of subjects.
        profiles: In which profiles of the wire.
        once: Whether it is taken once and not in every round.
        needs: Programs beside those that every run needs.
        of_variants: Whether it is taken of all variants of ours, and not of its defaults alone.
    """

    name: str
    take: Callable[[Carrier, Length], dict[str, float]]
    kinds: tuple[str, ...] = ("ours", "peer", "veth", "copy")
    profiles: str = "V"
    once: bool = False
    needs: tuple[str, ...] = ()
    of_variants: bool = False

    def fits(self, subject: Subject, profile: str) -> bool:
        """Whether it is taken of a subject on a wire of this profile."""
        if profile not in self.profiles or subject.kind not in self.kinds:
            return False
        if subject.kind == "copy":
            # Its packets do not cross the wire.
            return profile == "V"
        return subject.kind != "ours" or subject.name == OURS or self.of_variants


def _tcp(
    direction: Literal["up", "down"], streams: int = 1, way: str = "cidr", *, asked: bool = False
) -> Callable[[Carrier, Length], dict[str, float]]:
    def take(carrier: Carrier, length: Length) -> dict[str, float]:
        seconds = length.tcp if streams == 1 else length.many
        target = carrier.target(way)
        command = iperf.tcp(target, direction, streams, seconds, length.omit)
        pings = latency.ping(SITE, seconds) if direction == "up" and streams == 1 else None
        total = seconds + length.omit
        with _queries(carrier, total) if asked else contextlib.nullcontext():
            said, used, machine, waited = _loaded(carrier, command, pings, length.omit)
        result = iperf.read_tcp(json.loads(said))
        values = {"gbps": result.gbps, "retransmits": float(result.retransmits)}
        if carrier.ends:
            gigabytes = result.bytes / 1e9
            values["cpu_s_per_gb"] = sum(part.cpu for part in used.values()) / gigabytes
            values |= {f"cpu_{role}_s_per_gb": u.cpu / gigabytes for role, u in used.items()}
            switches = sum(part.switches for part in used.values())
            values["switches_per_packet"] = switches / result.packets
        values["softirq_share"] = machine.softirq / machine.total
        values["busy_share"] = machine.busy / machine.total
        if pings:
            values |= _times(latency.read(waited, round(seconds / latency.INTERVAL)))
        return values

    return take


def _loaded(
    carrier: Carrier, command: list[str], pings: list[str] | None, omit: float
) -> tuple[str, dict[str, Usage], Machine, str]:
    """Run iperf3, and echo requests beside it; return what both said and what was used."""
    before = {role: Usage.of([pid]) for role, pid in carrier.ends.items()}
    machine = Machine.now()
    load = _begin(carrier, command)
    pinged = (
        _begin(carrier, ["sh", "-c", f"sleep {omit:g}; exec {' '.join(pings)}"]) if pings else None
    )
    said = load.communicate(timeout=_PATIENCE)[0]
    used = {role: Usage.of([pid]).since(before[role]) for role, pid in carrier.ends.items()}
    waited = pinged.communicate(timeout=_PATIENCE)[0] if pinged else ""
    return said, used, Machine.now().since(machine), waited


def _udp(mbps: int) -> Callable[[Carrier, Length], dict[str, float]]:
    def take(carrier: Carrier, length: Length) -> dict[str, float]:
        result = iperf.read_udp(_inside(carrier, iperf.udp(SITE, mbps, length.udp)))
        return {
            "lost_share": result.lost,
            "out_of_order": float(result.out_of_order),
            "offered_mbps": result.offered_mbps,
        }

    return take


def _idle(carrier: Carrier, length: Length) -> dict[str, float]:
    command = latency.ping(SITE, length.idle)
    said = carrier.row.inside(carrier.row.application, *command).stdout
    return _times(latency.read(said, round(length.idle / latency.INTERVAL)))


def _calls(direction: Literal["up", "down"]) -> Callable[[Carrier, Length], dict[str, float]]:
    def take(carrier: Carrier, length: Length) -> dict[str, float]:
        # Long, since the first second counts: programs that only agree with each other send little.
        command = iperf.tcp(SITE, direction, 1, 2 * length.many, 0)
        values: dict[str, float] = {}
        for counter in syscalls.COUNTERS:
            with counter.count(list(carrier.ends.values()), carrier.row.folder) as counted:
                result = iperf.read_tcp(_inside(carrier, command))
            values[f"calls_per_packet_{counter.name}"] = counted.calls() / result.packets
            values[f"gbps_{counter.name}"] = result.gbps
        return values

    return take


def _captured(mbps: int) -> Callable[[Carrier, Length], dict[str, float]]:
    """Return what sends packets with numbers at a rate; 0: TCP at half of its ceiling."""

    def take(carrier: Carrier, length: Length) -> dict[str, float]:
        row = carrier.row
        command = iperf.udp(SITE, mbps, length.udp)
        if not mbps:
            rate = f"{length.ceiling * 500:.0f}M"
            command = iperf.tcp(SITE, "up", 1, length.udp, 0, "--bitrate", rate)
        row.segment_for_capture(on=True)
        try:
            with capture.Capture(row, "udp" if mbps else "tcp") as captured:
                _inside(carrier, command)
        finally:
            row.segment_for_capture(on=False)
        order = captured.order()
        return {
            "packets": float(order.packets),
            "late": float(order.late),
            "missing": float(order.missing),
            "not_captured": float(captured.dropped),
            "offered_mbps": float(mbps or length.ceiling * 500),
        }

    return take


def _times(times: latency.Latency) -> dict[str, float]:
    return {"rtt_p50_ms": times.p50, "rtt_p99_ms": times.p99, "echoes_lost": times.lost}


def _begin(carrier: Carrier, command: list[str]) -> subprocess.Popen[str]:
    inside = carrier.row.application.command(*command)
    guarded = ["setpriv", "--pdeathsig", "KILL", "--", *inside]
    return subprocess.Popen(guarded, stdout=subprocess.PIPE, text=True)


def _inside(carrier: Carrier, command: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(_begin(carrier, command).communicate(timeout=_PATIENCE)[0])
    return said


@contextlib.contextmanager
def _queries(carrier: Carrier, seconds: float) -> Iterator[None]:
    """Ask for the name, 1,000 times a second, and see that it was answered."""
    asked = carrier.row.folder / "queries"
    asked.write_text(f"{NAME} A\n{NAME} AAAA\n")
    rate = ("-Q", str(QUERIES), "-l", f"{seconds:g}", "-d", str(asked))
    process = _begin(carrier, ["dnsperf", "-s", carrier.sentinel, "-c", "1", "-T", "1", *rate])
    try:
        yield
        said = process.communicate(timeout=_PATIENCE)[0]
    finally:
        process.kill()
    done = next((line.split()[2] for line in said.splitlines() if "completed:" in line), "0")
    if int(done) < QUERIES * seconds * 0.9:
        raise FirezoneError(f"dnsperf had {done} answers in {seconds:g} s")


_CARRIED: Final = ("ours", "peer")
_OURS: Final = ("ours",)
METRICS: Final = (
    Metric("tcp1-up", _tcp("up"), profiles="VN", of_variants=True),
    Metric("tcp1-down", _tcp("down"), profiles="VN", of_variants=True),
    Metric("tcp8-up", _tcp("up", 8)),
    Metric("tcp8-down", _tcp("down", 8)),
    Metric("udp-200", _udp(200), (*_CARRIED, "veth")),
    Metric("udp-600", _udp(600), (*_CARRIED, "veth")),
    Metric("idle", _idle),
    Metric("dns1-up", _tcp("up", way="dns"), _OURS, needs=("dig",)),
    Metric("dns1-down", _tcp("down", way="dns"), _OURS, needs=("dig",)),
    Metric("query1-up", _tcp("up", way="dns", asked=True), _OURS, needs=("dig", "dnsperf")),
    Metric("query1-down", _tcp("down", way="dns", asked=True), _OURS, needs=("dig", "dnsperf")),
    Metric("calls-up", _calls("up"), _CARRIED, once=True, needs=("perf", "strace")),
    Metric("calls-down", _calls("down"), _CARRIED, once=True, needs=("perf", "strace")),
    Metric("capture-200", _captured(200), _CARRIED, once=True, needs=("tcpdump",)),
    Metric("capture-600", _captured(600), _CARRIED, once=True, needs=("tcpdump",)),
    Metric("capture-half", _captured(0), _CARRIED, once=True, needs=("tcpdump",)),
)
