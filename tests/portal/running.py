"""A portal as users have it: a process, commands beside it, and Clients at its socket."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.portal.world import key
from websockets.sync.client import ClientConnection, connect

from firezone.cli import main

if TYPE_CHECKING:
    from pathlib import Path

AGENT = "Debian/12.0.0 headless-client/1.5.12 (x86_64; 6.1.0)"


class Running:
    """A portal, and the commands of whoever administers it.

    Args:
        folder: For its logs.
    """

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "LOG_DIR": str(folder / "log")}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.tokens = self.command("init", "--email", "ann@example.net", "--json")["tokens"]
        self._process = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        """Start it."""
        listen = ("run", "--listen", f"127.0.0.1:{self.port}")
        command = [sys.executable, "-m", "firezone", "portal", *listen]
        return subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill it, as a crash does, and start it anew."""
        self._process.kill()
        self._process.wait()
        self._process = self.begin()

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        assert self._process.wait(30) == 0

    def command(self, *words: str) -> Any:
        """Run a command, in this process: not in the portal's."""
        out = io.StringIO()
        with redirect_stdout(out):
            assert main(["portal", *words]) == 0
        return json.loads(out.getvalue())

    def wait(self) -> None:
        """Wait until it listens."""
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        message = "the portal does not answer"
        raise AssertionError(message)

    def client(self, token: str, number: int = 1) -> ClientConnection:
        """Connect as a Client, waiting for the portal to be there."""
        given = {"external_id": f"laptop{number}", "name": "laptop", "public_key": key(number)}
        where = f"ws://127.0.0.1:{self.port}/client/v2/websocket?{urlencode(given)}"
        bearer = {"X-Authorization": f"Bearer {token}"}
        self.wait()
        return connect(where, additional_headers=bearer, user_agent_header=AGENT)


def join(client: ClientConnection) -> dict[str, Any]:
    """Join, and return the `init`."""
    client.send(json.dumps({"topic": "client", "event": "phx_join", "payload": None, "ref": 0}))
    assert wait_for(client, "phx_reply")["status"] == "ok"
    found: dict[str, Any] = wait_for(client, "init")
    return found


def wait_for(client: ClientConnection, event: str) -> Any:
    """Return the payload of the next event of a name."""
    while True:
        message = json.loads(client.recv(timeout=20))
        if message["event"] == event:
            return message["payload"]
