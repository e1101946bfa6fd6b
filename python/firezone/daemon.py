"""What a running Client and a running Gateway share: how they begin, follow signals, and end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from .control import ControlServer, level_method, socket_path
from .errors import FirezoneError
from .notify import notify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from .logs import LogPipeline
    from .orchestration import Method
    from .settings import EndpointSettings

__all__ = ["Lifecycle", "buffer_limits", "undone"]

_ENDS: Final = (signal.SIGTERM, signal.SIGINT)


class Lifecycle:
    """Runs until something ends it: a signal, the control socket, or a fault.

    Args:
        role: `client` or `gateway`.
        settings: Of the endpoint.
        logs: Where events go.
        reload: Called on SIGHUP and on request; raises FirezoneError and changes nothing if the new
            file is wrong.
    """

    def __init__(
        self,
        role: str,
        settings: EndpointSettings,
        logs: LogPipeline,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self._role = role
        self._path: Path = settings.control_socket or socket_path(role)
        self._logs = logs
        self._reload = reload
        self._ended = asyncio.Event()
        self._fault: FirezoneError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._began = time.monotonic()

    def end(self, fault: FirezoneError | None = None) -> None:
        """Let `run` return, or raise the first fault."""
        self._fault = self._fault or fault
        self._ended.set()

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside until the end; what it fails at ends the endpoint."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def run(self, methods: Mapping[str, Method], status: Callable[[], str]) -> None:
        """Serve the control socket and signals until the end.

        Args:
            methods: Of the role.
            status: A line for systemd and for people.

        Raises:
            FirezoneError: What ended it, if that was a fault.
        """
        loop = asyncio.get_running_loop()
        for number in _ENDS:
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.watch(self._reload_logged()))
        own: dict[str, Method] = {
            "log.level": level_method(self._logs),
            "stop": self._stop_method,
            "reload": self._reload_method,
            "uptime": self._uptime_method,
        }
        try:
            async with ControlServer(self._path, {**methods, **own}):
                notify("READY=1", f"STATUS={status()}")
                self._logs.logger.info("ready", event_name=f"{self._role}.ready", status=status())
                await self._ended.wait()
                notify("STOPPING=1")
        finally:
            for number in (*_ENDS, signal.SIGHUP):
                loop.remove_signal_handler(number)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._logs.logger.info("ending", event_name=f"{self._role}.ending")
        if self._fault is not None:
            raise self._fault

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, FirezoneError):
            message = f"unexpected {type(error).__name__}: {error}"
            error = FirezoneError(message, hint="this is a fault in firezone; its log tells more")
        self.end(error)

    async def _reload_logged(self) -> None:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notify("RELOADING=1", f"MONOTONIC_USEC={now}")
        try:
            await self._reload()
        except FirezoneError as error:
            self._logs.logger.error(  # noqa: TRY400 - it is the file's fault, no traceback helps
                "the changed file is not used", event_name="config.refused", reason=str(error)
            )
        finally:
            notify("READY=1")

    async def _reload_method(self, _params: dict[str, Any]) -> str:
        await self._reload()
        return "reloaded"

    async def _stop_method(self, _params: dict[str, Any]) -> str:
        # After the answer.
        asyncio.get_running_loop().call_later(0.1, self.end)
        return "stopping"

    async def _uptime_method(self, _params: dict[str, Any]) -> float:
        return time.monotonic() - self._began


def buffer_limits(settings: EndpointSettings) -> dict[str, float]:
    """Return the core's bounds of held packets."""
    return {
        "queue_bytes": settings.buffer_queue_size,
        "queue_packets": settings.buffer_queue_packets,
        "total_bytes": settings.buffer_total_size,
        "max_age": settings.buffer_max_age,
    }


@contextlib.contextmanager
def undone(undo: Callable[[], object], logs: LogPipeline) -> Iterator[None]:
    """Undo something at the end, whatever happens; a failure of that hides no other."""
    try:
        yield
    finally:
        try:
            undo()
        except FirezoneError as error:
            logs.logger.error(  # noqa: TRY400 - the reason says it all
                "not everything could be undone",
                event_name="host.left",
                reason=str(error),
                hint="firezone host cleanup",
            )
