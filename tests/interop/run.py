"""Put plain WireGuard programs in the place of our Gateway and Client; write what came of it.

Each program, in each role: a large file both ways, two rekeys in real time while a file loads, and
a file during which both ends move to other addresses. Two machines in namespaces, curl and nginx.
The programs run side by side, each in a process of its own: most of it is waiting for rekeys.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import results
from tests.system.plain_wireguard import WIREGUARD_GO, PlainWireGuard, Program
from tests.system.transfers import MIB, Loading, fetch, send
from tests.system.two_machines import SITE, Role, TwoMachines

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = f"http://{SITE[0]}"
ROLES: tuple[Role, ...] = ("gateway", "client")
REKEYS = 2
REKEY_AFTER = 120
PATIENCE = 900
"""Seconds that the large file may take one way."""
MOVE_SIZE = 32
ROUNDED = 4
"""Seconds by which two looks at one handshake may differ, where a program tells its age."""


@dataclass(frozen=True)
class Came:
    """What came of one program in one role."""

    program: str
    role: Role
    down: bool = False
    up: bool = False
    handshakes: Sequence[int] = ()
    """When they were: seconds since the first."""
    slow: bool = False
    roamed: bool = False
    fault: str = ""

    def is_good(self, rekeys: int) -> bool:
        """Whether all of it was as it should be."""
        parts = (self.down, self.up, self.slow, self.roamed, len(self.handshakes) > rekeys)
        return all(parts)


def found_programs(folder: Path) -> list[Program]:
    """Return the programs: Debian's wireguard-go, and what `make interop` built in `folder`."""
    # By default it connects a socket to where it heard of its peer (`connect_endpoint` in its
    # device/peer.rs): the kernel fixes the source address of such a socket when it is connected,
    # and boringtun makes another one only when the peer moves, not when its own host does.
    options = ("--foreground", "--disable-drop-privileges", "--disable-connected-udp")
    boringtun = (str(folder / "boringtun-cli"), *options)
    newest = (str(folder / "wireguard"), "--foreground")
    programs = [
        WIREGUARD_GO,
        Program(f"wireguard-go {_go_version(folder / 'wireguard')}", newest),
        # Its times are those of a tick of 250 ms, and after a silence it speaks only if what it
        # heard last and what it said last lie in different ones (`update_timers` in its
        # noise/timers.rs). Who loads a file and moves may else say nothing until the next rekey.
        Program(_version(boringtun[0]), boringtun, keepalive=5),
    ]
    return [program for program in programs if shutil.which(program.command[0])]


def run(program: Program, role: Role, size: int, rekeys: int) -> Came:
    """Put a program into a role and judge each part; what broke is told, and the next goes on."""
    came: dict[str, bool] = dict.fromkeys(("down", "up", "slow", "roamed"), False)
    seen: list[int] = []
    fault = ""
    with TwoMachines() as machines:
        try:
            plain = PlainWireGuard(machines, role, program)
            plain.begin()
            digest = machines.payload(size * MIB)
            came["down"] = fetch(machines, f"{URL}/file", patience=PATIENCE) == digest
            came["up"] = send(machines, URL, patience=PATIENCE) == digest
            came["slow"] = _rekeyed(machines, plain, seen, rekeys)
            came["roamed"] = _roamed(machines, plain)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            fault = str(error).splitlines()[0] if str(error) else type(error).__name__
    since = tuple(at - seen[0] for at in seen)
    return Came(program.name, role, **came, handshakes=since, fault=fault)


def _rekeyed(machines: TwoMachines, plain: PlainWireGuard, seen: list[int], rekeys: int) -> bool:
    """Load slowly for longer than the rekeys take; note when each handshake was."""
    size = max(2, rekeys * REKEY_AFTER * 13 // 10 // 2)
    digest = machines.payload(size * MIB)
    loading = Loading(machines, f"{URL}/file", rate="500K", patience=size * 4 + 60)
    while not loading.is_over:
        at = plain.handshake()
        if at and (not seen or at - seen[-1] > ROUNDED):
            seen.append(at)
        time.sleep(1)
    return loading.ended() == digest


def _roamed(machines: TwoMachines, plain: PlainWireGuard) -> bool:
    """Move our side, then the program's, while a file loads."""
    digest = machines.payload(MOVE_SIZE * MIB)
    loading = Loading(machines, f"{URL}/file")
    plain.move_other()
    loading.grows()
    followed = plain.endpoint().startswith(f"{plain.other_place}:")
    plain.move()
    whole = loading.ended() == digest
    return whole and followed and plain.place_known_to_other() == plain.place


def _version(program: str) -> str:
    if not Path(program).exists():
        return "absent"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _go_version(program: Path) -> str:
    """Return the version of the module that a Go program was built from."""
    if not program.exists():
        return "absent"
    said = subprocess.run(
        ["go", "version", "-m", str(program)], capture_output=True, text=True, check=True
    )
    row = next(line for line in said.stdout.splitlines() if line.split()[:1] == ["mod"])
    return row.split()[2]


def report(runs: list[Came], size: int, rekeys: int) -> list[str]:
    """Write the page."""
    day = results.today()
    heads = ("program", "in the place of our", "down", "up", "handshakes", "slow load", "roaming")
    rows = [
        (
            came.program,
            came.role.capitalize(),
            _said(is_so=came.down),
            _said(is_so=came.up),
            ", ".join(f"{at} s" for at in came.handshakes),
            _said(is_so=came.slow),
            _said(is_so=came.roamed) + (f" ({came.fault})" if came.fault else ""),
        )
        for came in runs
    ]
    good = sum(came.is_good(rekeys) for came in runs)
    return [
        "# Plain WireGuard programs in the place of ours",
        "",
        f"Written by `make interop` on {day}. {size} MiB each way through a CIDR resource; a slow",
        "load during which the program's `wg show latest-handshakes` is asked every second: when",
        f"each was, since the first that it told, and {rekeys} rekeys at least; and a load of",
        f"{MOVE_SIZE} MiB during which first our side, then the program's, goes on from another",
        "underlay address, which `wg show endpoints` and `firezone client|gateway status` must",
        "tell. *yes* for a file is an equal SHA-256. Two machines in namespaces of a host with",
        f"{os.cpu_count()} cores; the program's device has an MTU of 1420, ours 1280. All of the",
        "programs ran side by side.",
        "boringtun runs with `--disable-connected-udp`, because the kernel fixes the source",
        "address of its connected sockets; and with a `persistent-keepalive` of 5 s, for roaming:",
        "what it hears and says within one tick of 250 ms has one time to it, and then it says",
        "nothing after a silence until the next rekey. A download whose host had moved was seen",
        "to stand for 120 s without it.",
        "",
        *results.table(heads, rows),
        "",
        f"{good} of {len(runs)} were as they should be.",
    ]


def _said(*, is_so: bool) -> str:
    return "yes" if is_so else "**no**"


def side_by_side(programs: list[Program], arguments: list[str]) -> list[Came]:
    """Run each program in a process of its own; return what came of all, in their order."""
    parts = [(*arguments, "--part", program.name) for program in programs]
    runs = []
    for program, said in zip(
        programs, results.side_by_side("tests.interop.run", parts, pause=5), strict=True
    ):
        told = {row["role"]: row for row in said}
        for role in ROLES:
            broke = {"program": program.name, "role": role, "fault": "it broke: see above"}
            runs.append(Came(**told.get(role, broke)))
            results.say(runs[-1])
    return runs


def main() -> int:
    """Run all programs in both roles."""
    parser = results.options(__doc__, "interop.md")
    parser.add_argument("--programs", type=Path, required=True, help="folder of built programs")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--only", default="", help="part of the name of the programs to run")
    parser.add_argument("--rekeys", type=int, default=REKEYS, help="rekeys that are waited for")
    parser.add_argument("--part", help="this program alone, as lines of JSON and without a page")
    given = parser.parse_args()
    results.begin()
    programs = found_programs(given.programs)
    if given.part:
        program = next(program for program in programs if program.name == given.part)
        for role in ROLES:
            results.say(json.dumps(asdict(run(program, role, given.size, given.rekeys))))
        return 0
    wanted = [program for program in programs if given.only in program.name]
    runs = side_by_side(wanted, sys.argv[1:])
    results.write(given.results, report(runs, given.size, given.rekeys))
    return int(not runs or not all(came.is_good(given.rekeys) for came in runs))


if __name__ == "__main__":
    sys.exit(main())
