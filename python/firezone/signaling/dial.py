"""A WebSocket to the portal: all its addresses at once, TLS, or the proxy of the environment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from websockets.client import ClientProtocol

__all__ = ["TCP_PATIENCE", "WHOLE_PATIENCE", "Info", "Lookup", "addresses", "dial", "tls_context"]

TCP_PATIENCE: Final = 5.0
"""Seconds for a TCP connection to one of the addresses."""
WHOLE_PATIENCE: Final = 15.0
"""Seconds for all of it: TCP, TLS and the upgrade."""
Info = tuple[int, int, int, str, tuple[Any, ...]]
"""An address as `getaddrinfo` has it."""
Lookup = Callable[[str, int], Awaitable[list[Info]]]
"""Finds the addresses of a host and a port."""
LARGEST_FRAME: Final = 16 * 2**20
"""Bytes; the resources of a large account are in one frame."""
CLOSE_PATIENCE: Final = 1.0


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow none: the token is for the portal alone."""
        return exc


class _Connection(ClientConnection):
    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        # Firezone's components name the host without its port.
        default = 443 if protocol.uri.secure else 80
        protocol.uri = replace(protocol.uri, port=default)
        super().__init__(protocol, **options)


def tls_context(authority: Path | None = None) -> ssl.SSLContext:
    """Return how a portal proves itself: by an authority of the system, or by the given one.

    Raises:
        ConfigError: The file holds no certificates.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority is not None:
        try:
            context.load_verify_locations(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            text = f"{authority} holds no certificates of an authority"
            raise ConfigError(text, setting="portal_ca") from error
    return context


async def dial(
    url: str,
    headers: Mapping[str, str],
    *,
    tls: ssl.SSLContext | None = None,
    prepare: Callable[[socket.socket], None] = lambda _: None,
    lookup: Lookup | None = None,
) -> ClientConnection:
    """Open a WebSocket.

    Args:
        url: Of the request.
        headers: Of the request.
        tls: How the portal proves itself, if it is asked over TLS.
        prepare: Called with each socket before it connects, to keep it out of the tunnel.
        lookup: Finds the host's addresses; by default the system does.

    Raises:
        OSError: No address answers.
        TimeoutError: None answers in time.
        websockets.exceptions.InvalidHandshake: The answer is not the upgrade.
        ConfigError: The proxy of the environment cannot be used.
    """
    uri = parse_uri(url)
    parts = urlsplit(url)
    options: dict[str, Any] = {"ssl": tls or tls_context()} if uri.secure else {}
    async with asyncio.timeout(WHOLE_PATIENCE):
        if get_proxy(uri) is None:
            found = await (lookup or addresses)(str(parts.hostname), uri.port)
            options["sock"] = await _race(str(parts.hostname), found, prepare)
        try:
            return await _Connect(
                url,
                additional_headers=dict(headers),
                user_agent_header=None,
                compression=None,
                open_timeout=None,
                # Heartbeats of the channel tell whether the portal is there.
                ping_interval=None,
                close_timeout=CLOSE_PATIENCE,
                max_size=LARGEST_FRAME,
                create_connection=_Connection,
                **options,
            )
        except ImportError as error:
            text = "the environment names a SOCKS proxy, which needs the package python-socks"
            raise ConfigError(text) from error
        except BaseException:
            if "sock" in options:
                options["sock"].close()
            raise


async def addresses(host: str, port: int) -> list[Info]:
    """Return a host's addresses as the system finds them, as `getaddrinfo` has them.

    Raises:
        OSError: There is none.
    """
    loop = asyncio.get_running_loop()
    return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def _race(
    host: str, found: Sequence[Info], prepare: Callable[[socket.socket], None]
) -> socket.socket:
    """Return the first socket that connects to one of a host's addresses."""
    tries = {asyncio.create_task(_open(info, prepare)) for info in dict.fromkeys(found)}
    won: socket.socket | None = None
    problem: OSError = TimeoutError(f"{host}: no address answered in {TCP_PATIENCE:.0f} s")
    try:
        async with asyncio.timeout(TCP_PATIENCE):
            for first in asyncio.as_completed(tries):
                try:
                    won = await first
                    break
                except OSError as error:
                    problem = error
    except TimeoutError:
        pass
    finally:
        await _abandon(tries, won)
    if won is None:
        raise problem
    return won


async def _abandon(tries: set[asyncio.Task[socket.socket]], won: socket.socket | None) -> None:
    for task in tries:
        task.cancel()
    for result in await asyncio.gather(*tries, return_exceptions=True):
        if isinstance(result, socket.socket) and result is not won:
            result.close()


async def _open(info: Info, prepare: Callable[[socket.socket], None]) -> socket.socket:
    family, kind, protocol, _, address = info
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        prepare(opened)
        await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:
        opened.close()
        raise
    return opened
