"""The Client and the Gateway under test as people run them: two processes, two files, two hosts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

from firezone import keys
from firezone.control import ControlClient
from firezone.errors import EndpointNotRunning, FirezoneError, TunnelTimeout

from . import namespaces, topology
from .processes import complaint
from .underlay import ADDRESSES, PORT, Underlay, Wiretap

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from .namespaces import Namespace
    from .settings import LinkSettings
    from .topology import Laboratory

__all__ = ["Hosts", "drops_of_port"]

_PATIENCE: Final = 30.0
"""Seconds that a role may take to begin on a busy machine."""
_ENDING: Final = 15.0
"""Seconds that a role may take to leave its host as it was."""
_NICE: Final = -10
"""Two hosts would have processors of their own; here all share those of one."""
_POLL: Final = 0.05
_RESOURCE: Final = {"name": "the site", "dns": "*.site.example"}
_VERBS: Final = {"client": "up", "gateway": "run"}
_COMPLAINT: Final = 4096


class Hosts:
    """A Client and a Gateway that know of each other by their files alone.

    Whatever is asked for is re-created and looked up at once: the floors, which are settings, are
    0.

    Args:
        lab: Whose namespaces are the hosts.
        link: What is between them.
        logs: The folder of their log files.

    Attributes:
        socket: The Gateway's control socket.
    """

    def __init__(self, lab: Laboratory, link: LinkSettings, *, logs: Path) -> None:
        self._lab, self._link, self._logs = lab, link, logs
        self._folder = lab.folder / "hosts"
        self._underlay: Underlay | None = None
        self._tap: Wiretap | None = None
        self._running: dict[str, Process] = {}
        self.socket: Path | None = self._socket("gateway")

    async def start(self) -> str:
        """Join the hosts and start both roles.

        Returns:
            The address at which the Client answers DNS.

        Raises:
            FirezoneError: A role ended, or was not ready in time.
        """
        self._lab.stop_masquerading()
        await asyncio.to_thread(self._write_files)
        self._underlay = Underlay((self._lab.app, self._lab.gateway), self._link)
        self._tap = await Wiretap.start(self._lab.processes, self._lab.app, self._lab.folder)
        # The Client connects at its start to the Gateway that is there by then.
        await self._begin("gateway", self._lab.gateway)
        status = await self._begin("client", self._lab.app)
        return str(next(a for a in status["sentinels"] if ":" not in a))

    async def counters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return all counters of the Client and of the Gateway."""
        client, gateway = await self._ask_both("counters")
        return client[0], gateway[0]

    def link_drops(self) -> int:
        """Return how many packets were lost on the way, or found its queue full."""
        return self._underlay.losses() if self._underlay is not None else 0

    async def kernel_drops(self) -> tuple[int, int]:
        """Return how many packets a kernel did not take from, and did not keep for, a process."""
        drops = self._underlay.kernel_drops() if self._underlay is not None else 0
        full = 0
        hosts = (self._lab.app, self._lab.gateway)
        for host, status in zip(hosts, await self._ask_both("status"), strict=True):
            drops += status["io"]["tun_refused"] + status["io"]["datagrams_dropped"]
            full += await self._socket_drops(host, status["port"])
        return drops, full

    async def wire_report(self) -> tuple[int, int] | None:
        """Return how many packets crossed the underlay, and how many were not WireGuard's."""
        if self._underlay is None or self._tap is None:
            return None
        tap, self._tap = self._tap, None
        return self._underlay.crossed(), await tap.stop()

    async def stop(self) -> None:
        """End both roles, which leave their hosts as they were, then the network between them."""
        for process in (self._running.pop(role) for role in tuple(reversed(self._running))):
            await self._lab.processes.stop(process, patience=_ENDING)
        if self._tap is not None:
            await self._tap.stop()
            self._tap = None
        if self._underlay is not None:
            await asyncio.to_thread(self._underlay.stop)

    def _write_files(self) -> None:
        """Write keys and files anew: nothing of an earlier run is known."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        public = {role: keys.create(self._key(role)) for role in _VERBS}
        gateway = {
            "name": "gateway",
            "public_key": public["gateway"],
            "endpoint": f"{ADDRESSES[1]}:{PORT}",
        }
        client = {
            "name": "client",
            "public_key": public["client"],
            "resources": [_RESOURCE["name"]],
        }
        self._write(
            "client",
            {
                "tun": topology.CLIENT_TUN,
                "refresh_floor": 0.0,
            },
            {"gateway": gateway, "resource": _RESOURCE},
        )
        self._write(
            "gateway",
            {
                "tun": topology.GATEWAY_TUN,
                "port": PORT,
                "cache_floor": 0.0,
                "failure_cache": 0.0,
            },
            {"client": client, "resource": _RESOURCE},
        )

    def _write(
        self, role: str, settings: dict[str, object], tables: dict[str, dict[str, Any]]
    ) -> None:
        """Write a role's file, with everything that it leaves behind inside the laboratory."""
        own = {
            "private_key_file": str(self._key(role)),
            "state_dir": str(self._folder / "state"),
            "run_dir": str(self._folder / "run"),
            "control_socket": str(self._socket(role)),
            "log_dir": str(self._logs),
            "log_level": "debug",
            "dns_servers": [topology.RESOLVER],
            **settings,
        }
        lines = [f"{name} = {_toml(value)}" for name, value in own.items()]
        for table, row in tables.items():
            lines += [f"[[{table}]]", *(f"{name} = {_toml(value)}" for name, value in row.items())]
        self._file(role).write_text("\n".join(lines) + "\n")

    async def _begin(self, role: str, host: Namespace) -> dict[str, Any]:
        """Start a role and wait until it is ready; return its status."""
        command = (sys.executable, "-m", "firezone", role, _VERBS[role])
        inside = host.command(*command, "--config", str(self._file(role)))
        with self._output(role).open("wb") as output:
            process = await self._lab.processes.start(
                inside, stdout=output.fileno(), stderr=output.fileno(), environment=_environment()
            )
        self._running[role] = process
        _prefer(process)
        try:
            async with asyncio.timeout(_PATIENCE):
                while process.returncode is None:
                    try:
                        return dict(await self._ask(role, "status"))
                    except EndpointNotRunning:
                        await asyncio.sleep(_POLL)
        except TimeoutError as error:
            message = f"the {role} was not ready within {_PATIENCE:.0f} s"
            raise TunnelTimeout(message, hint=f"its log in {self._logs} tells why") from error
        raise await self._failed(role, process)

    async def _failed(self, role: str, process: Process) -> FirezoneError:
        return await complaint(process, self._output(role).read_bytes()[-_COMPLAINT:])

    async def _ask_both(self, method: str) -> tuple[Any, Any]:
        return await asyncio.gather(self._ask("client", method), self._ask("gateway", method))

    async def _ask(self, role: str, method: str) -> Any:
        def ask() -> Any:
            with ControlClient(self._socket(role)) as control:
                return control.call(method)

        try:
            return await asyncio.to_thread(ask)
        except EndpointNotRunning:
            process = self._running.get(role)
            if process is not None and process.returncode is not None:
                raise await self._failed(role, process) from None
            raise

    async def _socket_drops(self, host: Namespace, port: int) -> int:
        """Return what found the receive buffers of the sockets on a port full."""
        read = host.command("cat", "/proc/net/udp", "/proc/net/udp6")
        return drops_of_port(await asyncio.to_thread(namespaces.run, read), port)

    def _key(self, role: str) -> Path:
        return self._folder / f"{role}.key"

    def _file(self, role: str) -> Path:
        return self._folder / f"{role}.toml"

    def _output(self, role: str) -> Path:
        return self._folder / f"{role}.out"

    def _socket(self, role: str) -> Path:
        return self._folder / f"{role}.sock"


def _prefer(process: Process) -> None:
    """Let a role run before what else is busy on this host, where that is allowed."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)


def drops_of_port(table: str, port: int) -> int:
    """Sum up the last column of the kernel's table of UDP sockets where the local port is this."""
    rows = (line.split() for line in table.splitlines())
    return sum(int(row[-1]) for row in rows if row[1].endswith(f":{port:04X}"))


def _environment() -> dict[str, str]:
    """Return the variables but those that are settings: the files say it all."""
    return {k: v for k, v in os.environ.items() if not k.startswith("FIREZONE_") and k != "LOG_DIR"}


def _toml(value: object) -> str:
    # JSON's texts, numbers, booleans and lists are TOML's too.
    return json.dumps(value)
