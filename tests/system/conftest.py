"""Two machines; starting the demo as a person does, and looking at what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.system.two_machines import TwoMachines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEMO = (sys.executable, "-m", "firezone", "demo")


@dataclass(frozen=True)
class Ended:
    """How a demo ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


def left_behind(pid: int) -> list[str]:
    """Return what a process with this id left of a laboratory."""
    names = [entry.name for entry in Path("/var/run/netns").glob(f"fz-*-{pid}")]
    names += [str(entry) for entry in Path("/etc/netns").glob(f"fz-*-{pid}")]
    names += [str(entry) for entry in Path(tempfile.gettempdir()).glob(f"firezone-lab-{pid}-*")]
    return names + still_running(pid)


def still_running(pid: int) -> list[str]:
    """Return the programs that a laboratory started and that have not ended."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"firezone-lab-{pid}-" in line]


def programs_of(pid: int) -> list[Path]:
    """Return the processes in the namespaces of a laboratory, those that bear no sign of it too.

    Each as a path that is there until it ends, although nobody may have asked yet how it did.
    """
    found = []
    for entry in Path("/var/run/netns").glob(f"fz-*-{pid}"):
        listing = ["ip", "netns", "pids", entry.name]
        listed = subprocess.run(listing, capture_output=True, text=True, check=True)
        found += [Path("/proc", number, "exe") for number in listed.stdout.split()]
    return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "LOG_DIR": str(tmp_path / "logs"), "NO_COLOR": "1"}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start demos; none of them outlives the test, nor the test's process."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "INT", "--", *DEMO, *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


@pytest.fixture
def demo(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ended]:
    """Run a demo to its end; nothing may be left of it."""

    def run(*options: str) -> Ended:
        process = start(*options)
        out, err = process.communicate(timeout=150)
        assert left_behind(process.pid) == []
        return Ended(process.returncode, out, err)

    return run


@pytest.fixture
def machines() -> Iterator[TwoMachines]:
    """Two hosts with a site, on which nothing of ours runs yet."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with TwoMachines() as machines:
        yield machines


@pytest.fixture
def connected(machines: TwoMachines) -> TwoMachines:
    """Two hosts with a Gateway and a Client that programs ask."""
    machines.write_gateway()
    machines.write_client()
    machines.begin_both()
    return machines


@pytest.fixture(name="left_behind")
def left_behind_fixture() -> Callable[[int], list[str]]:
    return left_behind


@pytest.fixture(name="still_running")
def still_running_fixture() -> Callable[[int], list[str]]:
    return still_running


@pytest.fixture(name="programs_of")
def programs_of_fixture() -> Callable[[int], list[Path]]:
    return programs_of


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so, or fail."""

    def wait(is_so: Callable[[], bool]) -> None:
        for _ in range(400):
            if is_so():
                return
            time.sleep(0.05)
        pytest.fail("it did not happen within 20 s")

    return wait
