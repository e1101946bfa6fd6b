"""What is waited for, each between two machines of its own; each tells whether all was well."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from tests.silences.scripts import ASKING, CLOCK, SPEAKING
from tests.system.second_gateway import SecondGateway
from tests.system.transfers import MIB, Loading, arriving, sha256
from tests.system.two_machines import NAME, SITE, TwoMachines

if TYPE_CHECKING:
    from tests.system.two_machines import Role

SILENCE: Final = 200
DOWN: Final = 30
STOPPED: Final = 190
REKEY_AFTER: Final = 120
URL: Final = f"http://{NAME}"
PATIENCE: Final = 900


def _connected(machines: TwoMachines) -> TwoMachines:
    machines.write_gateway()
    machines.write_client()
    machines.begin_both()
    return machines


def answered_udp() -> tuple[bool, str]:
    """Let answered flows be silent, by name and by network; then either end speaks first."""
    with TwoMachines() as machines:
        _connected(machines)
        speaking = machines.script("speaking", SPEAKING)
        machines.start("speaking", machines.site, *speaking, *SITE, "7778", str(SILENCE))
        machines.wait(lambda: "speaking" in machines.output("speaking"), "the site")
        asking = machines.script("asking", ASKING)
        argv = (*asking, NAME, *SITE, "7778", str(SILENCE))
        done = machines.inside(machines.client, *argv, patience=SILENCE + 120)
        assert done.returncode == 0, done.stderr
        flows = [line for line in done.stdout.splitlines() if line != "silent"]
        good = [line for line in flows if line.endswith("True")]
        said = f"{len(good)} of {len(flows)} flows went on, seen from the same place as before"
        return bool(flows) and good == flows, said


def underlay(direction: Literal["down", "up"]) -> tuple[bool, str]:
    """Drop everything on the underlay for a while."""
    with TwoMachines() as machines:
        _connected(machines)
        digest = machines.payload(64 * MIB)
        moving = _Moving(machines, direction)
        for words in ("add table inet cut", _CHAIN):
            _nft(machines, words)
        time.sleep(DOWN)
        before = moving.size
        _nft(machines, "delete table inet cut")
        since = time.monotonic()
        machines.wait(lambda: moving.size > before, "something arrives again")
        gap = time.monotonic() - since
        whole = moving.ended() == digest
        return whole, f"{_whole(whole)}; went on {gap:.1f} s after the way was back"


def stopped(role: Role) -> tuple[bool, str]:
    """Stop a process as a suspend does: its time goes on without it, past the end of its keys."""
    with TwoMachines() as machines:
        _connected(machines)
        digest = machines.payload(64 * MIB)
        moving = _Moving(machines, "down")
        machines.running[role].send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        assert _is_stopped(machines.running[role].pid), "somebody let it go on"
        assert not moving.is_over, "the transfer ended before it was stopped"
        before = moving.size
        machines.running[role].send_signal(signal.SIGCONT)
        since = time.monotonic()
        while moving.size == before and not moving.is_over:
            time.sleep(0.1)
        gap = time.monotonic() - since
        whole = moving.ended() == digest
        return whole, f"{_whole(whole)}; went on after {gap:.1f} s"


def clocks() -> tuple[bool, str]:
    """Move the wall clock of either process there and back, each time before a rekey."""
    with TwoMachines() as machines:
        machines.write_gateway()
        machines.write_client()
        clock = machines.folder / "clock"
        clock.write_text("0\n")
        source, library = machines.folder / "clock.c", machines.folder / "clock.so"
        source.write_text(CLOCK)
        compiler = ("cc", "-shared", "-fPIC", "-o", str(library), str(source))
        made = machines.inside(machines.client, *compiler)
        assert made.returncode == 0, made.stderr
        os.environ |= {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(clock)}
        machines.begin("gateway")
        machines.begin("client")
        del os.environ["LD_PRELOAD"]
        machines.use_client_dns()
        digest = machines.payload(240 * MIB)
        moving = _Moving(machines, "down", rate="600K")
        went_on = True
        for jump in ("86400", "-86400", "0"):
            clock.write_text(f"{jump}\n")
            # Something to write into both logs, with the time.
            for role in ("client", "gateway"):
                machines.running[role].send_signal(signal.SIGHUP)
            before = moving.size
            time.sleep(REKEY_AFTER + 10)
            went_on &= moving.size > before
        whole = moving.ended() == digest
        jumped = all(_days_told(machines, role) == {-1, 0, 1} for role in ("client", "gateway"))
        said = f"{_whole(whole)}; wall clocks of both processes a day ahead, a day behind, and back"
        said += f" (by a library before libc's), {REKEY_AFTER + 10} s each: rekeys fall into it"
        return whole and went_on and jumped, said if jumped else f"{said}; but not in their logs"


def forgotten() -> tuple[bool, str]:
    """Kill the Gateway and begin it anew; see when the flow goes on, and to which address."""
    with TwoMachines() as machines:
        _connected(machines)
        digest = machines.payload(96 * MIB)
        moving = _Moving(machines, "up")
        watch = ("tcpdump", "-tt", "-n", "-U", "-l")
        machines.start("wan", machines.gateway, *watch, "-i", "wan", "-x", "udp port 52625")
        machines.start("lan", machines.gateway, *watch, "-i", "lan", "tcp dst port 80")
        for name in ("wan", "lan"):
            machines.wait(lambda n=name: "listening on" in machines.output(n), "tcpdump")
        machines.end("gateway", signal.SIGKILL)
        machines.begin("gateway")
        whole = moving.ended() == digest
        first = _first_data(machines)
        seen = _tcp(machines)
        after = next(at for at, _ in seen if at >= first)
        places = {place for at, place in seen if at >= first}
        same = places == {place for _, place in seen}
        rtt = _round_trip(machines)
        said = f"{_whole(whole)}; {(after - first) * 1000:.1f} ms from the first packet of the new"
        said += f" session to the site's next (a round trip through the tunnel is {rtt:.1f} ms)"
        return whole and same, f"{said}, {'to the same address' if same else f'to {places}'}"


def one_of_two() -> tuple[bool, str]:
    """Kill the Gateway that serves, five times; count until a new connection works."""
    gaps = []
    for _ in range(5):
        with TwoMachines() as machines, SecondGateway(machines) as second:
            machines.write_gateway()
            second.write_client()
            second.begin()
            machines.begin_both()
            machines.payload(MIB)
            ask = ("curl", "-sS", "--fail", "-m", "0.5", f"{URL}/whoami")
            machines.wait(lambda m=machines, a=ask: _works(m, a), "the first Gateway")
            machines.end("gateway", signal.SIGKILL)
            since = time.monotonic()
            machines.wait(lambda m=machines, a=ask: _works(m, a), "the second Gateway")
            gaps.append(time.monotonic() - since)
    said = f"new connections worked after {statistics.median(gaps):.1f} s in the median"
    return max(gaps) <= 5, f"{said} of {len(gaps)} runs, {max(gaps):.1f} s at most"


class _Moving:
    """A slow transfer of the payload, either way."""

    def __init__(self, machines: TwoMachines, direction: str, rate: str = "4M") -> None:
        self._machines, self._loading = machines, None
        if direction == "down":
            self._loading = Loading(machines, f"{URL}/file", rate=rate, patience=PATIENCE)
            return
        self._target = machines.folder / "www" / "upload" / "copy"
        source = str(machines.folder / "www" / "file")
        curl = ("curl", "-sS", "--fail", "-m", str(PATIENCE), "--limit-rate", rate)
        machines.start("loading", machines.client, *curl, "-T", source, f"{URL}/upload/copy")
        machines.wait(lambda: self.size > MIB, "the upload begins")

    @property
    def size(self) -> int:
        if self._loading:
            return self._loading.size
        return arriving(self._machines, self._target)

    @property
    def is_over(self) -> bool:
        return self._machines.running["loading"].poll() is not None

    def ended(self) -> str:
        if self._loading:
            return self._loading.ended()
        code = self._machines.running["loading"].wait(PATIENCE + 20)
        assert code == 0, self._machines.output("loading")
        return sha256(self._target)


_CHAIN: Final = "add chain inet cut ins { type filter hook input priority 0 ; policy drop ; }"
_TCP: Final = re.compile(r"^(\d+\.\d+) IP6? \S+ > (\S+)\.80: ", re.MULTILINE)


def _nft(machines: TwoMachines, words: str) -> None:
    done = machines.inside(machines.gateway, "nft", words)
    assert done.returncode == 0, done.stderr


def _whole(is_so: bool) -> str:
    return "whole" if is_so else "not whole"


def _is_stopped(pid: int) -> bool:
    """Whether a process stands: a shell that ends lets the stopped jobs of its session go on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def _works(machines: TwoMachines, ask: tuple[str, ...]) -> bool:
    return machines.inside(machines.client, *ask).returncode == 0


def _days_told(machines: TwoMachines, role: Role) -> set[int]:
    """Return by how many days the clock of a process was wrong, as the lines of its log say."""
    now = dt.datetime.now(dt.UTC)
    lines = (line for line in machines.output(role).splitlines() if line.startswith("{"))
    # Nanoseconds are more than datetime reads.
    times = (dt.datetime.fromisoformat(json.loads(line)["time"][:19] + "Z") for line in lines)
    return {round((at - now) / dt.timedelta(days=1)) for at in times}


def _first_data(machines: TwoMachines) -> float:
    """Return when the first data message of a session of the new Gateway came from the Client."""
    text = machines.output("wan")
    answered = None
    for block in re.split(r"\n(?=\d+\.\d+ )", text):
        kind = re.search(r"\n\s+0x0010:\s+(?:\w{4} ){6}(\w{2})", block)
        head = re.match(r"(\d+\.\d+) IP (\S+) > ", block)
        if not kind or not head:
            continue
        at, is_ours = float(head[1]), head[2].startswith("192.0.2.2.")
        if kind[1] == "02":
            answered = at
        elif kind[1] == "01" and is_ours:
            answered = None
        elif kind[1] == "04" and answered and not is_ours:
            return at
    message = "no data message after a handshake was seen"
    raise AssertionError(message)


def _tcp(machines: TwoMachines) -> list[tuple[float, str]]:
    """Return when segments left for the site, and to which address."""
    return [(float(at), place) for at, place in _TCP.findall(machines.output("lan"))]


def _round_trip(machines: TwoMachines) -> float:
    pinged = machines.inside(machines.client, "ping", "-c", "5", "-i", "0.2", SITE[0]).stdout
    return float(pinged.rpartition("= ")[2].split("/")[1])
