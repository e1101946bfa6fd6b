"""Threads bear names that the kernel shows."""

from __future__ import annotations

import threading
from pathlib import Path

from firezone.thread_names import name_thread


def comm(thread: threading.Thread) -> str:
    return Path(f"/proc/self/task/{thread.native_id}/comm").read_text().strip()


def test_a_thread_names_itself_or_is_named() -> None:
    done, named = threading.Event(), threading.Event()

    def run() -> None:
        name_thread("fz-itself")
        named.set()
        done.wait()

    thread = threading.Thread(target=run)
    thread.start()
    named.wait()
    first = comm(thread)
    name_thread("fz-by-another-one", thread)
    second = comm(thread)
    done.set()
    thread.join()

    assert (first, second) == ("fz-itself", "fz-by-another-o")


def test_a_thread_that_has_ended_or_never_began_is_left_alone() -> None:
    thread = threading.Thread(target=lambda: None)
    name_thread("fz-early", thread)
    thread.start()
    thread.join()

    name_thread("fz-late", thread)

    assert Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text() != "fz-late\n"
