"""Names of threads as the kernel knows them: what `ps -T`, `top -H` and perf show.

Python tells the kernel its threads' names from 3.14 on; before, all bear the program's.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Final

__all__ = ["name_thread"]

_LONGEST: Final = 15
"""Bytes that the kernel keeps of a name."""


def name_thread(name: str, thread: threading.Thread | None = None) -> None:
    """Give a thread of this process a name.

    Args:
        name: ASCII; of more than 15 characters the first count.
        thread: Which; without it the one that calls. One that has ended is left alone.
    """
    number = threading.get_native_id() if thread is None else thread.native_id
    # Without /proc, or of a thread that is gone: it works without a name as well.
    with contextlib.suppress(OSError):
        Path(f"/proc/self/task/{number}/comm").write_text(name[:_LONGEST])
