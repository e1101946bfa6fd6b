"""The site: nginx for files, an authoritative DNS server, and the resolver that Gateways ask."""

from __future__ import annotations

import asyncio
import random
import shutil
from typing import TYPE_CHECKING, Any, Final

from firezone.errors import TunnelTimeout

from . import programs
from .commanded import Commanded
from .processes import complaint
from .topology import RESOLVER

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterator
    from pathlib import Path

    from .records import Family, Mode
    from .topology import Laboratory

__all__ = ["Site", "pseudo_random"]

AUTHORITY: Final = ("10.77.0.2", 5300)
CHUNK: Final = 256 * 1024
_POOL: Final = 8 * 2**20
_STRIDE: Final = 104_729
"""A prime, so that no two chunks of a file begin alike."""

_NGINX: Final = """
daemon off;
master_process off;
worker_processes 1;
user root;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  keepalive_timeout 1;
  client_max_body_size 0;
  client_body_timeout 120;
  send_timeout 120;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/temp;
  fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp;
  scgi_temp_path {folder}/temp;
  default_type application/octet-stream;
  server {{
    listen 0.0.0.0:80;
    listen [::]:80;
    root {folder}/www;
    location = /whoami {{ default_type text/plain; return 200 "$server_addr\\n"; }}
    location /upload/ {{ dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


class Site:
    """The running site.

    Args:
        lab: Where it runs.
        seed: Of the download's bytes and of what is random in the records.
    """

    def __init__(self, lab: Laboratory, seed: int) -> None:
        self._lab = lab
        self._seed = seed
        self._dns: Commanded | None = None

    @property
    def root(self) -> Path:
        """What nginx serves, and below `upload` what it stored."""
        return self._lab.folder / "www"

    async def start(self) -> None:
        """Start all three and wait until they answer."""
        folder = self._lab.folder
        (self.root / "upload").mkdir(parents=True)
        configuration = folder / "nginx.conf"
        configuration.write_text(_NGINX.format(folder=folder))
        start, inside = self._lab.processes.start, self._lab.site.command
        nginx = await start(
            inside(programs.find("nginx"), "-p", str(folder), "-c", str(configuration))
        )
        address, port = AUTHORITY
        module = "firezone.lab.dns_server"
        self._dns = await Commanded.start(
            self._lab.processes, self._lab.site, module, address, str(port), str(self._seed)
        )
        dnsmasq = await start(inside(programs.find("dnsmasq"), *_dnsmasq(address, port)))
        await self._dns.hear()
        await self._wait_for(nginx, "80")
        await self._wait_for(dnsmasq, "53")

    async def reset_records(self) -> None:
        """Begin anew with the records and their history."""
        await self._ask({"do": "reset"})

    async def change_records(self, mode: Mode) -> None:
        """Let the records change from now on."""
        await self._ask({"do": "begin", "mode": mode})

    async def settle_records(self) -> None:
        """Leave the records as they were at first."""
        await self._ask({"do": "end"})

    async def history(self) -> list[tuple[float, Family, list[str]]]:
        """Return which addresses were served from when on, by family."""
        report = await self._ask({"do": "report"})
        return [(at, family, addresses) for at, family, addresses in report["history"]]

    def prepare_download(self, size: int) -> None:
        """Write the file that is downloaded."""
        path = self.root / "file"
        if path.exists() and path.stat().st_size >= size:
            return
        with path.open("wb") as file:
            written = 0
            for chunk in pseudo_random(self._seed):
                file.write(chunk)
                written += len(chunk)
                if written >= size:
                    return

    def forget_uploads(self) -> None:
        """Take away what was uploaded."""
        shutil.rmtree(self.root / "upload", ignore_errors=True)
        (self.root / "upload").mkdir()

    async def _ask(self, command: dict[str, object]) -> dict[str, Any]:
        if self._dns is None:
            raise TunnelTimeout("the site's DNS server was not started")
        return await self._dns.ask(command)

    async def _wait_for(self, process: Process, port: str) -> None:
        probe = ("sh", "-c", f"grep -qi ':{int(port):04X} ' /proc/net/tcp")
        for _ in range(100):
            if process.returncode is not None:
                raise await complaint(process)
            check = await self._lab.processes.start(self._lab.site.command(*probe))
            done = await check.wait()
            await self._lab.processes.stop(check)
            if done == 0:
                return
            await asyncio.sleep(0.05)
        raise TunnelTimeout(f"nothing listens on port {port} of the site")


def pseudo_random(seed: int) -> Iterator[bytes]:
    """Yield chunks of 256 KiB without end: the same for the same seed, no two alike."""
    pool = random.Random(seed).randbytes(_POOL)  # noqa: S311
    number = 0
    while True:
        start = number * _STRIDE % (_POOL - CHUNK)
        mark = number.to_bytes(8, "big")
        yield mark + pool[start : start + CHUNK - len(mark)]
        number += 1


def _dnsmasq(address: str, port: int) -> list[str]:
    return [
        # Its debug mode stays in the foreground and keeps the user, which it could not change in a
        # user namespace.
        "--no-daemon",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--no-hosts",
        "--no-resolv",
        "--no-poll",
        "--cache-size=0",
        "--dns-forward-max=5000",
        "--edns-packet-max=1232",
        f"--server={address}#{port}",
        f"--listen-address={RESOLVER}",
        "--bind-interfaces",
    ]
