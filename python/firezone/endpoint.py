"""The way to a running core: commands in, events out, on an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from firezone import _core

from .errors import ConfigError, FirezoneError
from .legacy import Descriptor, Legacy, Memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

__all__ = ["Endpoint", "check_pattern"]

_PAUSE: Final = 0.002
"""Seconds until a core whose queue was full has done some of it."""


class Endpoint:
    """A Client or Gateway of this process: its TUN device, its sockets, its data-plane thread.

    It takes commands from the start and packets from `begin` on.

    Args:
        config: What the core is made from, as its `EndpointConfig` has it.
        private_key: 32 bytes; without, the core makes one that lives as long as it.
        descriptors: What a former process left to it; they are its own from now on.
        memory: What that knew; its NAT state is taken over by `begin`.

    Raises:
        NeedsPrivilege: The kernel gives no TUN device or port.
        ConfigError: A value cannot be used.
        ValueError: A descriptor is not what it is said to be; all of them are closed.
    """

    def __init__(
        self,
        config: Mapping[str, object],
        private_key: bytes | None,
        descriptors: Sequence[Descriptor] = (),
        memory: Memory | None = None,
    ) -> None:
        named = [(descriptor.name, descriptor.number) for descriptor in descriptors]
        state, exported = (None, 0) if memory is None else (memory.state, memory.exported)
        self._core = _core.Endpoint(json.dumps(config), private_key, named, state, exported)
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self._core.wake_fd(), self._drain)

    @property
    def public_key(self) -> bytes:
        """The public key by which peers know this endpoint, 32 bytes."""
        return self._core.public_key

    @property
    def port(self) -> int:
        """The UDP port that peers send to."""
        return self._core.port

    @property
    def inherited(self) -> int | str | None:
        """Of how many peers a former process left sessions, or why they are not used."""
        return self._core.inherited

    @property
    def aead(self) -> str:
        """What seals and opens packets: avx512-ifma, avx512, avx2 or ring."""
        return self._core.aead

    async def begin(self) -> tuple[int, int, int, int] | str | None:
        """Take packets from now on, after all commands that were sent before.

        Returns:
            How many flows, resting ports and names came over and what was left out, or why none
            did; None without a state.

        Raises:
            FirezoneError: The core has stopped.
        """
        try:
            return await asyncio.to_thread(self._core.begin)
        except ValueError as error:
            raise FirezoneError(str(error), hint="start the endpoint again") from error

    async def hand_over(self, role: str, facts: dict[str, Any]) -> tuple[Legacy, str | None]:
        """End the data plane and return what a successor needs; nothing is closed.

        Returns:
            The legacy, and why there are no sessions in it, if so.

        Raises:
            FirezoneError: The core has stopped.
        """
        try:
            named, state, exported, why = await asyncio.to_thread(self._core.hand_over)
        except ValueError as error:
            raise FirezoneError(str(error)) from error
        self._end()
        descriptors = [Descriptor(name, number) for name, number in named]
        return Legacy(descriptors, Memory(role, exported, state, facts)), why

    def send(self, command: Mapping[str, object]) -> None:
        """Queue a command; it is applied between two batches of packets.

        Raises:
            ValueError: The core does not know it, or its queue is full.
        """
        self._core.command(json.dumps(command))

    async def send_all(self, commands: Iterable[Mapping[str, object]]) -> None:
        """Queue commands in order, however many they are, as fast as the core does them.

        Raises:
            ValueError: The core does not know one, or has stopped.
        """
        for command in commands:
            while True:
                try:
                    self.send(command)
                    break
                except _core.QueueFull:
                    await asyncio.sleep(_PAUSE)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the core's events in order, until it stops."""
        while (event := await self._events.get()) is not None:
            yield event

    def counters(self) -> dict[str, int]:
        """Return what went through the device and the sockets, and in how many system calls."""
        return self._core.counters()

    async def stop(self) -> None:
        """End the data plane; the TUN device goes with it."""
        await asyncio.to_thread(self._core.stop)
        self._end()

    def _end(self) -> None:
        """Pass the last events on."""
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._core.wake_fd())
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
