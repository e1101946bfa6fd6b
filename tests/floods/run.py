"""Flood the Gateway with handshakes from addresses that do not exist; write what others notice.

One host sends initiations; on the same host a Client's flow goes on and a Client that nobody has
heard of connects. The same load to a port at which nobody listens, and no load, stand beside it.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from tests import results
from tests.system.hostile import ECHO, FLOOD, STEADY
from tests.system.newcomer import Newcomer
from tests.system.two_machines import NAME, SITE, TwoMachines

PORT = "52625"
CLOSED = "9"
STEADY_RATE = 500
MOST_LOSS = 0.01


@dataclass(frozen=True)
class Load:
    """What is sent, if anything."""

    name: str
    port: str = ""
    wrong: bool = False


LOADS = (
    Load("none"),
    Load("to a port where nobody listens", CLOSED),
    Load("right MAC1", PORT),
    Load("wrong MAC1", PORT, wrong=True),
)


@dataclass(frozen=True)
class Came:
    """What came of one load."""

    load: Load
    offered: float
    reached: float
    full: int
    sent: int
    back: int
    newcomer: float
    busy: float

    @property
    def loss(self) -> float:
        """The part of the flow's datagrams that did not come back."""
        return 1 - self.back / self.sent


def run(load: Load, rate: int, seconds: int) -> Came:
    """Bring up both ends, flood, and count."""
    with TwoMachines() as machines:
        newcomer = Newcomer(machines)
        newcomer.write_gateway()
        machines.write_client()
        machines.begin_both()
        # As on a real host: answers to addresses that do not exist leave it.
        machines.gateway.ip("route add default via 192.0.2.1")
        machines.start("echo", machines.site, *machines.script("echo", ECHO), SITE[0], "7777")
        machines.wait(lambda: "echoing" in machines.output("echo"), "the echo")
        argv = (NAME, "7777", str(STEADY_RATE), str(seconds))
        steady = machines.start(
            "steady", machines.client, *machines.script("steady", STEADY), *argv
        )
        machines.wait(lambda: "steady" in machines.output("steady"), "the flow")
        before = _handshakes(machines), time.monotonic()
        if load.port:
            script = machines.script("flood", FLOOD)
            what = (machines.keys["gateway"], load.port, str(rate), str(seconds))
            what = (*what, "wrong") if load.wrong else what
            # Before all others, or it could not offer so many on a host that is busy with them.
            first = ("nice", "-n", "-15")
            machines.start("flood", machines.client, *first, *script, *what)
            machines.wait(lambda: "flooding" in machines.output("flood"), "the flood")
            before = _handshakes(machines), time.monotonic()
        time.sleep(seconds / 3)
        greeted = newcomer.begin()
        busy = os.getloadavg()[0]
        offered, reached = 0.0, 0.0
        if load.port:
            assert machines.running["flood"].wait(seconds + 60) == 0, machines.output("flood")
            number, passed = machines.output("flood").split()[-2:]
            offered = int(number) / float(passed)
            reached = (_handshakes(machines) - before[0]) / (time.monotonic() - before[1])
        assert steady.wait(seconds + 60) == 0, machines.output("steady")
        sent, back = map(int, machines.output("steady").split()[-2:])
        return Came(load, offered, reached, _full(machines), sent, back, greeted, busy)


def _handshakes(machines: TwoMachines) -> int:
    """Return the messages of handshakes that the Gateway has looked at."""
    datagrams = machines.call("gateway", "counters")[0]["datagrams"]
    return sum(
        value
        for name, value in datagrams.items()
        if name in {"cookie_replies", "handshakes_refused"}
    )


def _full(machines: TwoMachines) -> int:
    """Return the datagrams that found the Gateway's socket full."""
    names = ("nstat", "-asz", "UdpRcvbufErrors")
    shown = machines.inside(machines.gateway, *names).stdout
    return int(shown.split()[-2])


def report(runs: list[Came], rate: int, seconds: int) -> list[str]:
    """Write the page."""
    day = results.today()
    heads = ("initiations", "offered, /s", "looked at, /s", "socket was full", "lost of the flow")
    heads = (*heads, "newcomer", "load")
    rows = [
        (
            came.load.name,
            f"{came.offered:,.0f}",
            f"{came.reached:,.0f}",
            f"{came.full:,}",
            f"{came.sent - came.back} of {came.sent:,} ({came.loss:.2%})",
            f"{came.newcomer:.1f} s",
            f"{came.busy:.1f}",
        )
        for came in runs
    ]
    return [
        "# A flood of handshakes",
        "",
        f"Written by `make floods` on {day}: {rate:,} initiations a second for {seconds} s, each",
        "from another of 4,000 addresses that do not exist, over a cable between namespaces to the",
        f"port of `firezone gateway run`. Meanwhile {STEADY_RATE} datagrams a second go through a",
        "name to an echo of the site and back, each counted; loss is what did not come back. After",
        "a third of the time a Client of whom nobody has heard yet (wireguard-go) connects.",
        "",
        f"All of it shares {os.cpu_count()} cores, the generator before all others: Gateway,",
        "Client, echo, both kernels. So the same load to a port at which nobody listens stands",
        "beside it, and no load; in what is lost there the Gateway has no part. *load* is the load",
        "average of one minute: it tells how busy the host was with this and with anything else.",
        "",
        *results.table(heads, rows),
    ]


def main() -> int:
    """Run all loads."""
    parser = results.options(__doc__, "floods.md")
    parser.add_argument("--rate", type=int, default=50_000, help="initiations a second")
    parser.add_argument("--seconds", type=int, default=30, help="how long each load lasts")
    given = parser.parse_args()
    results.begin()
    runs = []
    for load in LOADS:
        runs.append(run(load, given.rate, given.seconds))
        results.say(runs[-1])
    results.write(given.results, report(runs, given.rate, given.seconds))
    return int(any(came.loss > MOST_LOSS for came in runs))


if __name__ == "__main__":
    sys.exit(main())
