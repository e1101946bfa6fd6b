"""The servers that this host would ask without the Client: the Client asks them for other names."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from firezone import socket_address
from firezone.errors import FirezoneError
from firezone.host import programs

from .control import BACKUP, RESOLV_CONF
from .resolv_conf_text import has_sentinel, is_ours, is_sentinel, nameservers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from .control import DnsControl, Method

__all__ = ["SystemResolvers", "parse_resolvectl"]

EVERY: Final = 5.0
"""Seconds between two looks: neither a file nor resolvectl tells when it changes."""
_STUB: Final = frozenset({"127.0.0.53", "127.0.0.54"})
_LINK: Final = re.compile(r"Link \d+ \((?P<device>[^)]*)\): ?(?P<servers>.*)|Global: ?(?P<all>.*)")


class SystemResolvers:
    """The host's own servers, never ours.

    Args:
        method: How queries come to the Client; it says where the others are found.
        control: Of the same method; `watch` lets it look for edits of others.
        tun: Our TUN device.
        log: Where events go.
        path: The file that programs read.
        backup: Where a copy of it is kept while it is ours.
    """

    def __init__(
        self,
        method: Method,
        control: DnsControl,
        *,
        tun: str,
        log: FilteringBoundLogger,
        path: Path = RESOLV_CONF,
        backup: Path = BACKUP,
    ) -> None:
        self._method = method
        self._control = control
        self._tun = tun
        self._log = log
        self._path = path
        self._backup = backup

    def read(self) -> tuple[str, ...]:
        """Return the servers in order, each once: `address`, or `address:port` if it is not 53.

        Raises:
            FirezoneError: systemd-resolved does not answer.
        """
        found: tuple[str, ...] = ()
        if self._method == "systemd-resolved":
            found = parse_resolvectl(programs.run(["resolvectl", "dns"]), self._tun)
        if not found:
            found = self._of_the_file()
        return found

    async def watch(self, on_change: Callable[[tuple[str, ...]], None]) -> None:
        """Call back with the servers whenever they are others, until cancelled."""
        before = await self._look()
        while True:
            await asyncio.sleep(EVERY)
            now = await self._look()
            if now is not None and now != before:
                before = now
                on_change(now)

    async def _look(self) -> tuple[str, ...] | None:
        try:
            # The control's files are small; resolvectl is a program to wait for.
            self._control.check()
            return await asyncio.to_thread(self.read)
        except FirezoneError as error:
            self._log.warning(
                "the host's DNS servers are not known", event_name="dns.servers", error=str(error)
            )
            return None

    def _of_the_file(self) -> tuple[str, ...]:
        text = _text(self._path)
        if is_ours(text) or has_sentinel(text):
            text = _text(self._backup)
        found = (str(address) for address in nameservers(text) if not is_sentinel(address))
        is_stub = self._method == "systemd-resolved"
        return tuple(dict.fromkeys(f for f in found if not (is_stub and f in _STUB)))


def parse_resolvectl(text: str, tun: str) -> tuple[str, ...]:
    """Return the servers that `resolvectl dns` shows, those of the whole host first.

    Args:
        text: What it wrote.
        tun: The device whose servers are ours.
    """
    found: list[str] = []
    for line in text.splitlines():
        match = _LINK.fullmatch(line.strip())
        if match is None or match["device"] == tun:
            continue
        for word in (match["servers"] or match["all"] or "").split():
            server = _server(word)
            if server is not None:
                found.append(server)
    return tuple(dict.fromkeys(found))


def _server(word: str) -> str | None:
    """Return a server without the name of its certificate; None for what is ours or no address."""
    text = word.partition("#")[0]
    try:
        server = socket_address.parse(text, port=53)
    except ValueError:
        return None
    if is_sentinel(ip_address(server.address)):
        return None
    return server.address if server.port == 53 else str(server)  # noqa: PLR2004


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
