"""Tells when the host's network changes: what is there is compared, notifications only wake."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from firezone.errors import FirezoneError

from .netlink import subscribe

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

__all__ = ["Change", "Kind", "Seen", "watch"]

QUIET: Final = 0.5
"""Seconds without a notification after which the host is looked at."""
PATIENCE: Final = 2.0
"""Seconds after which it is looked at although notifications go on."""
_BYTES: Final = 65536

Kind: TypeAlias = Literal["tun-deleted", "tun-returned", "links", "default-route"]


@dataclass(frozen=True)
class Seen:
    """What is compared.

    Args:
        tun: The kernel's number of our device; 0 if it is not there. One that was made anew has
            another.
        running: Interfaces that are operational, but ours.
        defaults: Device and next router of default routes, but ours.
    """

    tun: int
    running: frozenset[str]
    defaults: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Change:
    """What changed on the host.

    Args:
        kinds: `tun-deleted`: somebody deleted our device; `tun-returned`: it is there again;
            `links`: interfaces came up or went down; `default-route`: another way out.
    """

    kinds: frozenset[Kind]


async def watch(
    look: Callable[[], Seen], on_change: Callable[[Change], None], log: FilteringBoundLogger
) -> None:
    """Call back whenever what is looked at changes, until cancelled.

    Args:
        look: Looks at the host; runs on another thread.
        on_change: Runs on the loop.
        log: Where a look that failed is told.
    """
    with subscribe() as events:
        before = await _look(look, log)
        while True:
            await _settle(events)
            now = await _look(look, log)
            kinds = _compare(before, now)
            before = now
            if kinds:
                on_change(Change(kinds))


async def _look(look: Callable[[], Seen], log: FilteringBoundLogger) -> Seen:
    """Look until it succeeds: what the kernel refuses now it may allow when it has settled."""
    while True:
        try:
            return await asyncio.to_thread(look)
        except FirezoneError as error:
            log.warning("looking at the host failed", event_name="host.watch", error=str(error))
            await asyncio.sleep(PATIENCE)


def _compare(before: Seen, now: Seen) -> frozenset[Kind]:
    kinds: set[Kind] = set()
    if before.tun != now.tun:
        kinds.add("tun-returned" if now.tun else "tun-deleted")
    if before.running != now.running:
        kinds.add("links")
    if before.defaults != now.defaults:
        kinds.add("default-route")
    return frozenset(kinds)


async def _settle(events: socket.socket) -> None:
    """Wait for a notification, and then until there are no more for a while."""
    loop = asyncio.get_running_loop()
    await _heard(loop, events)
    end = loop.time() + PATIENCE
    while (left := end - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(QUIET, left)):
                await _heard(loop, events)
        except TimeoutError:
            return


async def _heard(loop: asyncio.AbstractEventLoop, events: socket.socket) -> None:
    try:
        await loop.sock_recv(events, _BYTES)
    except OSError:
        # More than the kernel keeps for us: then there is all the more to look at.
        return
