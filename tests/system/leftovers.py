"""What a test's process leaves when it is killed: another process takes it away.

Programs are killed with who started them, but nobody does so with their children: nginx's workers
would go on for ever, and namespaces and files would wait for the next laboratory.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys

__all__ = ["watch"]

_WATCH = """
import pathlib, sys, time
# Its end closes the pipe, whatever its end was.
sys.stdin.read()
# Until its own parent has noticed, its number is still in use.
while pathlib.Path("/proc", sys.argv[1]).exists():
    time.sleep(0.05)
from firezone.lab.namespaces import remove_stale
remove_stale()
"""


def watch() -> None:
    """See to it that nothing is left of this process's laboratories, however it ends."""
    _watch(os.getpid())


@functools.cache
def _watch(pid: int) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    # In a session of its own no signal to the test's process group or terminal reaches it.
    return subprocess.Popen(
        [sys.executable, "-c", _WATCH, str(pid)],
        stdin=subprocess.PIPE,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
