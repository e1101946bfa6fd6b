"""The way to a running core: commands in, events out, on an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from firezone import _core

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["Endpoint", "check_pattern"]


class Endpoint:
    """A Client or Gateway of this process: its TUN device, its sockets, its data-plane thread.

    Args:
        config: What the core is made from, as its `EndpointConfig` has it.
        private_key: 32 bytes.

    Raises:
        NeedsPrivilege: The kernel gives no TUN device or port.
        ConfigError: A value cannot be used.
    """

    def __init__(self, config: Mapping[str, object], private_key: bytes) -> None:
        self._core = _core.Endpoint(json.dumps(config), private_key)
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self._core.wake_fd(), self._drain)

    @property
    def port(self) -> int:
        """The UDP port that peers send to."""
        return self._core.port

    def send(self, command: Mapping[str, object]) -> None:
        """Queue a command; it is applied between two batches of packets.

        Raises:
            ValueError: The core does not know it, or its queue is full.
        """
        self._core.command(json.dumps(command))

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the core's events in order, until it stops."""
        while (event := await self._events.get()) is not None:
            yield event

    def counters(self) -> dict[str, int]:
        """Return what went through the device and the sockets."""
        read, written, refused, dropped = self._core.counters()
        return {
            "tun_read": read,
            "tun_written": written,
            "tun_refused": refused,
            "datagrams_dropped": dropped,
        }

    async def stop(self) -> None:
        """End the data plane; the TUN device goes with it."""
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._core.wake_fd())
        await asyncio.to_thread(self._core.stop)
        self._drain()
        self._events.put_nowait(None)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._core.wake_fd(), 64)
        for text in self._core.events():
            event = json.loads(text)
            self._events.put_nowait(None if event["type"] == "stopped" else event)


def check_pattern(pattern: str) -> None:
    """Check the pattern of a DNS resource.

    Raises:
        ConfigError: It breaks the grammar; the message says where.
    """
    try:
        _core.check_pattern(pattern)
    except ValueError as error:
        message = f"{pattern!r} is no pattern of names: {error}"
        hint = "like app.example.net, *.example.net, **.example.net"
        raise ConfigError(message, setting="dns", hint=hint) from error
