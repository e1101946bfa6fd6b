"""Joins events of several sources in order of their time, and writes them on one thread.

An event of the core carries the time at which it happened and arrives a little later than one of
Python. So each waits for a moment before it is written; an error makes all that wait be written.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING, Final

from .log_lines import Record
from .thread_names import name_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OrderedWriter"]

WINDOW: Final = 0.05
"""Seconds that an event waits for earlier ones."""
MOST_WAITING: Final = 65_536
"""Events; more than these are dropped and counted: a log must not eat the memory."""


class OrderedWriter:
    """Hands records to sinks, the earliest first.

    Args:
        sinks: Called with each record, on one thread, one after the other. They must not raise.
        window: Seconds that a record waits for earlier ones.
    """

    def __init__(self, *sinks: Callable[[Record], None], window: float = WINDOW) -> None:
        self.dropped = 0
        self._told = 0
        self._sinks = sinks
        self._window = int(window * 1e9)
        self._heap: list[tuple[int, int, int, Record]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="fz-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def put(self, record: Record) -> None:
        """Take a record; returns at once. After `close` it is written at once."""
        with self._changed:
            if len(self._heap) >= MOST_WAITING:
                self.dropped += 1
                return
            age = max(0, time.time_ns() - record.time)
            due = time.monotonic_ns() + max(0, self._window - age)
            heapq.heappush(self._heap, (record.time, next(self._numbers), due, record))
            if len(self._heap) == 1:
                self._changed.notify()
        if record.severity == "ERROR" or self._ending:
            self.flush()

    def flush(self) -> None:
        """Write all that waits."""
        with self._writing:
            self._write(self._take(until=None))

    def close(self) -> None:
        """Write all that waits, and end the thread; the end of the process does that too."""
        atexit.unregister(self.close)
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        name_thread("fz-log")
        while self._wait():
            with self._writing:
                self._write(self._take(until=time.monotonic_ns()))

    def _wait(self) -> bool:
        """Wait until a record is due; False: the end."""
        with self._changed:
            while not self._heap and not self._ending:
                self._changed.wait()
            if not self._ending:
                # What came meanwhile waits with the first; all go in order of time.
                self._changed.wait(self._window / 1e9)
            return not self._ending

    def _take(self, until: int | None) -> list[Record]:
        """Take the records that have waited long enough, the earliest first."""
        taken = []
        with self._changed:
            while self._heap and (until is None or self._heap[0][2] <= until):
                taken.append(heapq.heappop(self._heap)[3])
        return taken

    def _write(self, records: list[Record]) -> None:
        if self.dropped > self._told:
            lost, self._told = self.dropped - self._told, self.dropped
            fields = {"event": "log.dropped", "events": lost}
            records.append(Record(time.time_ns(), "WARN", "events came too fast", fields))
        for record in records:
            for sink in self._sinks:
                sink(record)
