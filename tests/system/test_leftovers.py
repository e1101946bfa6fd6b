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
    wait_for: Callable[[Callable[[], bool]], None],
    left_behind: Callable[[int], list[str]],
    programs_of: Callable[[int], list[Path]],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        # nginx, its two workers, and dnsmasq.
        wait_for(lambda: len(programs_of(run.pid)) == 4)
        programs = programs_of(run.pid)
        run.kill()

    wait_for(lambda: not any(program.exists() for program in programs))
    wait_for(lambda: left_behind(run.pid) == [])
