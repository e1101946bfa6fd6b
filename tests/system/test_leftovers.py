"""A run of tests that is killed leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
RUN = """
import signal
from tests.system.two_machines import TwoMachines
with TwoMachines() as machines:
    print("ready", flush=True)
    signal.pause()
"""


def test_nothing_is_left_of_a_run_that_is_killed(
    wait_for: Callable[[Callable[[], bool]], None], left_behind: Callable[[int], list[str]]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        listing = ["ip", "netns", "pids", f"fz-site-{run.pid}"]

        def programs() -> list[Path]:
            listed = subprocess.run(listing, capture_output=True, text=True, check=True)
            return [Path("/proc", pid) for pid in listed.stdout.split()]

        # nginx, its two workers, and dnsmasq.
        wait_for(lambda: len(programs()) == 4)
        running = programs()
        run.kill()

    wait_for(lambda: not any(path.exists() for path in running))
    wait_for(lambda: left_behind(run.pid) == [])
