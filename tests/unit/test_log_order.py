"""Events of several sources in order of their time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from firezone import log_order
from firezone.log_lines import Record
from firezone.log_order import OrderedWriter

if TYPE_CHECKING:
    import pytest


def record(moment: int, severity: str = "INFO") -> Record:
    return Record(moment, severity, str(moment))


def test_an_event_that_arrives_late_is_written_in_its_place() -> None:
    written: list[Record] = []
    writer = OrderedWriter(written.append, window=60)
    now = time.time_ns()

    for moment in (now + 3, now + 1, now + 2, now + 1):
        writer.put(record(moment))
    assert written == []
    writer.close()

    assert [entry.time for entry in written] == [now + 1, now + 1, now + 2, now + 3]


def test_events_of_one_time_keep_their_order() -> None:
    written: list[Record] = []
    writer = OrderedWriter(written.append, window=60)
    now = time.time_ns()
    records = [Record(now, "INFO", str(number)) for number in range(100)]

    for entry in records:
        writer.put(entry)
    writer.close()

    assert written == records


def test_an_error_makes_all_that_wait_be_written() -> None:
    written: list[Record] = []
    writer = OrderedWriter(written.append, window=60)
    now = time.time_ns()

    writer.put(record(now))
    writer.put(record(now + 1, "ERROR"))

    assert [entry.time for entry in written] == [now, now + 1]
    writer.close()


def test_the_window_ends_by_itself() -> None:
    arrived = threading.Event()
    writer = OrderedWriter(lambda _: arrived.set(), window=0.01)

    writer.put(record(time.time_ns()))

    assert arrived.wait(20)
    writer.close()


def test_an_event_of_long_ago_does_not_hold_up_others() -> None:
    arrived = threading.Event()
    writer = OrderedWriter(lambda entry: entry.time and arrived.set(), window=0.01)

    writer.put(record(time.time_ns()))
    writer.put(record(0))

    assert arrived.wait(20)
    writer.close()


def test_after_the_end_events_are_still_written() -> None:
    written: list[Record] = []
    writer = OrderedWriter(written.append, window=60)
    writer.close()

    writer.put(record(1))

    assert [entry.time for entry in written] == [1]


def test_what_is_too_much_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Record] = []
    writer = OrderedWriter(written.append, window=60)
    monkeypatch.setattr(log_order, "MOST_WAITING", 3)
    now = time.time_ns()

    for moment in range(now, now + 5):
        writer.put(record(moment))
    writer.close()

    assert writer.dropped == 2
    assert written[-1].fields == {"event": "log.dropped", "events": 2}


def test_the_end_of_the_process_writes_what_waits() -> None:
    script = (
        "import time\n"
        "from firezone.log_lines import Record\n"
        "from firezone.log_order import OrderedWriter\n"
        "writer = OrderedWriter(lambda r: print(r.message, flush=True), window=60)\n"
        "writer.put(Record(time.time_ns(), 'INFO', 'the last words'))\n"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert ended.stdout == b"the last words\n"
