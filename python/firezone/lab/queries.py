"""The load of DNS queries: plain UDP, at the times of a schedule, answers counted.

Run as `python -m firezone.lab.queries SERVER NAME` inside the application's namespace. Commands
are JSON lines on stdin: `{"rate": 100.0}` begins, or goes on at another rate; `{"rate": 0}` pauses
and is answered by a JSON line with the counts and the times at which queries were sent. It ends
with its stdin.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from typing import Final

_HEADER: Final = struct.Struct("!HHHHHH")
_RECURSION: Final = 0x0100
_A: Final = 1
_AAAA: Final = 28
_IN: Final = 1
_IDLE: Final = 3600.0


def question(name: str, kind: int) -> bytes:
    """Return a query without its id: recursion desired, one question."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    header = _HEADER.pack(0, _RECURSION, 1, 0, 0, 0)[2:]
    return header + labels + b"\0" + struct.pack("!HH", kind, _IN)


class Generator:
    """Sends A and AAAA queries by turns.

    Args:
        server: The DNS server's address.
        name: What is asked for.
    """

    def __init__(self, server: str, name: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((server, 53))
        self._questions = (question(name, _A), question(name, _AAAA))
        self._rate = 0.0
        self._due = 0.0
        self.sent: list[float] = []
        self.answered = 0

    def run(self) -> None:
        """Send until stdin ends."""
        lines = b""
        while True:
            wait = max(0.0, self._due - time.monotonic()) if self._rate else _IDLE
            readable, _, _ = select.select([sys.stdin, self._socket], [], [], wait)
            if self._socket in readable:
                self._receive()
            if sys.stdin in readable:
                read = os.read(sys.stdin.fileno(), 4096)
                if not read:
                    return
                *whole, lines = (lines + read).split(b"\n")
                for line in whole:
                    self._set_rate(float(json.loads(line)["rate"]))
            self._send_due()

    def _set_rate(self, rate: float) -> None:
        self._rate = rate
        self._due = time.monotonic()
        if not rate:
            report = {"sent": len(self.sent), "answered": self.answered, "times": self.sent}
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()

    def _send_due(self) -> None:
        # By the schedule, however late this process was run: what was missed is sent at once.
        while self._rate and self._due <= time.monotonic():
            number = len(self.sent)
            query = struct.pack("!H", number & 0xFFFF) + self._questions[number % 2]
            try:
                self._socket.send(query)
            except OSError:
                return
            self.sent.append(time.time())
            self._due += 1 / self._rate

    def _receive(self) -> None:
        while True:
            try:
                self._socket.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                continue
            self.answered += 1


if __name__ == "__main__":
    Generator(sys.argv[1], sys.argv[2]).run()
