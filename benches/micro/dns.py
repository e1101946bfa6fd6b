"""Queries per second of processor time: the Client over its TUN, unbound and dnsmasq beside it.

`python -m benches.micro.dns FILE` writes lines of JSON. All three answer the same names to the same
dnsperf in one namespace, in turns (A B C C B A); what counts is the processor time of the
server, so
that a busy machine changes little. Each server runs with one thread.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.results import begin
from tests.system.two_machines import TwoMachines

if TYPE_CHECKING:
    import subprocess

NAMES: Final = (1, 1000)
ROUNDS: Final = 5
SECONDS: Final = 1
GOAL: Final = 3.0
QUIET: Final = 0.25
"""Spread of a peer beyond which a comparison says nothing."""
SERVERS: Final = ("ours", "unbound", "dnsmasq")
COMPLETED: Final = re.compile(r"Queries completed:\s+(\d+)")
LOST: Final = re.compile(r"Queries lost:\s+(\d+)")
TICKS: Final = os.sysconf("SC_CLK_TCK")

UNBOUND: Final = """
server:
  interface: 127.0.0.2
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  access-control: 127.0.0.0/8 allow
  local-zone: "site.example." static
{names}
remote-control:
  control-enable: no
"""


def names(count: int) -> list[str]:
    """Name what is asked for."""
    return [f"app{of}.site.example" for of in range(count)]


def start(hosts: TwoMachines, count: int) -> dict[str, tuple[str, subprocess.Popen[bytes]]]:
    """Start the other servers in the Client's namespace; return addresses and processes of all."""
    hosts.client.ip("link set lo up")
    folder = hosts.folder
    local = "\n".join(f'  local-data: "{name}. 1 IN A 10.0.0.1"' for name in names(count))
    (folder / "unbound.conf").write_text(UNBOUND.format(folder=folder, names=local))
    (folder / "hosts").write_text("".join(f"10.0.0.1 {name}\n" for name in names(count)))
    unbound = hosts.start("unbound", hosts.client, "unbound", "-c", str(folder / "unbound.conf"))
    dnsmasq = hosts.start(
        "dnsmasq beside", hosts.client, "dnsmasq", "--keep-in-foreground",
        "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root",
        f"--addn-hosts={folder}/hosts", "--listen-address=127.0.0.3", "--bind-interfaces",
        f"--pid-file={folder}/dnsmasq-beside.pid", "--local-ttl=1",
    )  # fmt: skip
    client = hosts.running["client"]
    return {
        "ours": (hosts.sentinel(), client),
        "unbound": ("127.0.0.2", unbound),
        "dnsmasq": ("127.0.0.3", dnsmasq),
    }


def processor_time(process: subprocess.Popen[bytes]) -> float:
    """Return the seconds that a process has spent, all threads together."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(
    hosts: TwoMachines, address: str, process: subprocess.Popen[bytes], seconds: int
) -> tuple[float, float]:
    """Ask as fast as it answers; return queries per second of its processor time, and the lost."""
    before = processor_time(process)
    done = hosts.inside(
        hosts.client, "dnsperf", "-s", address, "-d", str(hosts.folder / "queries"),
        "-l", str(seconds), "-c", "4", "-q", "64",
    )  # fmt: skip
    spent = processor_time(process) - before
    completed, lost = COMPLETED.search(done.stdout), LOST.search(done.stdout)
    if completed is None or lost is None or spent <= 0:
        message = f"{address}: {done.stdout[-500:]}{done.stderr[-500:]}"
        raise RuntimeError(message)
    return int(completed[1]) / spent, int(lost[1])


def compare(count: int) -> list[dict[str, object]]:
    """Measure all servers with so many names, in turns."""
    found: dict[str, list[float]] = {name: [] for name in SERVERS}
    lost = dict.fromkeys(SERVERS, 0.0)
    with TwoMachines() as hosts:
        hosts.write_gateway(log_level="warn")
        hosts.write_client(log_level="warn")
        hosts.begin_both()
        servers = start(hosts, count)
        queries = "".join(f"{name} A\n" for name in names(count))
        (hosts.folder / "queries").write_text(queries)
        for address, process in servers.values():
            measure(hosts, address, process, 1)
        for _ in range(ROUNDS):
            for name in (*SERVERS, *reversed(SERVERS)):
                figure, missed = measure(hosts, *servers[name], SECONDS)
                found[name].append(figure)
                lost[name] += missed
    rows: list[dict[str, object]] = []
    for peer in SERVERS[1:]:
        quarters = statistics.quantiles(found[peer], n=4)
        spread = (quarters[2] - quarters[0]) / statistics.median(found[peer])
        rows.append({
            "name": "DNS over the TUN", "case": f"{count:,} names", "peer": peer,
            "goal": GOAL if peer == "unbound" else 0.0, "per_cpu_second": True,
            "ours": statistics.median(found["ours"]), "reference": statistics.median(found[peer]),
            "spread": spread, "quiet": spread <= QUIET,
            "lost": lost["ours"], "lost_peer": lost[peer],
        })  # fmt: skip
    return rows


def main() -> int:
    """Measure and write."""
    begin()
    with Path(sys.argv[1]).open("w", buffering=1) as file:
        for count in NAMES:
            for row in compare(count):
                file.write(json.dumps(row) + "\n")
                sys.stdout.write(f"{json.dumps(row)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
