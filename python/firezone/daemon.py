"""How a running Client or Gateway begins, follows signals, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from .control import ControlServer, level_method, socket_path
from .errors import FirezoneError
from .handover import HandoverServer
from .notify import notify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from .handover import SocketSuccessor
    from .logs import LogPipeline
    from .orchestration import Method
    from .settings import EndpointSettings

__all__ = ["Lifecycle", "ended", "handover_path", "undone"]

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
        self._reloading = asyncio.Lock()
        self._is_ready = False
        self._is_reload_due = False
        self._run_dir: Path = settings.run_dir
        self.successor: SocketSuccessor | None = None
        """Who asked to take over, which ended this."""
        self.is_terminated = False
        """Whether SIGTERM ended it while it was ready: a service manager does so to restart it."""
        self.stands_alone = False
        """Whether nobody may take over."""
        self.is_handed_over = False
        """Whether a successor has everything: the host is left as it is."""

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Follow signals: from the start, so that one that comes early undoes what was done.

        SIGTERM and SIGINT end, SIGHUP reloads; one that comes before `run` does so then.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.end)
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for number in (*_ENDS, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def end(self, fault: FirezoneError | None = None) -> None:
        """Let `run` return, or raise the first fault."""
        self._fault = self._fault or fault
        self._ended.set()

    def _terminate(self) -> None:
        self.is_terminated = self._is_ready and not self._ended.is_set()
        self.end()

    def _succeed(self, successor: SocketSuccessor) -> str | None:
        if self._ended.is_set():
            return "it is ending"
        if not self._is_ready:
            return "it is not ready itself"
        if self.stands_alone:
            return "a portal introduced its peers to it alone; end it and start another"
        self.successor = successor
        self.end()
        return None

    async def until_end(self) -> None:
        """Wait for the end, whatever it comes from."""
        await self._ended.wait()

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside until the end; what it fails at ends the endpoint."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def follow(self, orchestration: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what answers the core; without a core there is no endpoint.

        It goes on after `run`, until the core is stopped: see `ended`.
        """

        async def until_it_stops() -> None:
            await orchestration
            if not self._ended.is_set():
                message = "the data plane has stopped by itself"
                raise FirezoneError(message, hint="its log tells more; start the endpoint again")

        task = asyncio.get_running_loop().create_task(until_it_stops())
        task.add_done_callback(self._done)
        return task

    async def run(self, methods: Mapping[str, Method], status: Callable[[], str]) -> None:
        """Serve the control socket until the end.

        Args:
            methods: Of the role.
            status: A line for systemd and for people.

        Raises:
            FirezoneError: What ended it, if that was a fault.
        """
        own: dict[str, Method] = {
            "log.level": level_method(self._logs),
            "stop": self._stop_method,
            "reload": self._reload_method,
            "uptime": self._uptime_method,
        }
        try:
            async with (
                ControlServer(self._path, {**methods, **own}),
                HandoverServer(
                    handover_path(self._run_dir, self._role), self._succeed, self._logs.logger
                ),
            ):
                if not self._ended.is_set():
                    self._ready(status())
                await self._ended.wait()
                notify("STOPPING=1")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._logs.logger.info("ending", event_name=f"{self._role}.ending")
        if self._fault is not None:
            raise self._fault

    def _ready(self, status: str) -> None:
        self._is_ready = True
        notify("READY=1", f"STATUS={status}")
        self._logs.logger.info("ready", event_name=f"{self._role}.ready", status=status)
        if self._is_reload_due:
            self._hang_up()

    def _hang_up(self) -> None:
        self._is_reload_due = not self._is_ready
        if self._is_ready:
            self.watch(self._reload_logged())

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
            await self._reload_once()
        except FirezoneError as error:
            self._logs.logger.error(  # noqa: TRY400 - it is the file's fault, no traceback helps
                "the changed file is not used",
                event_name="config.refused",
                reason=str(error),
                hint=error.hint,
            )
        except Exception:
            # What runs goes on: whoever asked for another file did not ask for an end.
            self._logs.logger.exception(
                "the changed file was not taken over", event_name="config.failed"
            )
        finally:
            notify("READY=1")

    async def _reload_once(self) -> None:
        # Two at once would tell the core about two files in turns.
        async with self._reloading:
            await self._reload()

    async def _reload_method(self, _params: dict[str, Any]) -> str:
        await self._reload_once()
        return "reloaded"

    async def _stop_method(self, _params: dict[str, Any]) -> str:
        # After the answer.
        asyncio.get_running_loop().call_later(0.1, self.end)
        return "stopping"

    async def _uptime_method(self, _params: dict[str, Any]) -> float:
        return time.monotonic() - self._began


def handover_path(run_dir: Path, role: str) -> Path:
    """Return where a successor asks the process of a role."""
    return run_dir / f"{role}.handover.sock"


async def ended(task: asyncio.Task[None]) -> None:
    """End a task and wait for that."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def undone(
    undo: Callable[[], object], logs: LogPipeline, unless: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Undo something at the end, whatever happens; a failure of that hides no other.

    Args:
        undo: What takes it back.
        logs: Where a failure is told.
        unless: Asked at the end: whether it is to stay.
    """
    try:
        yield
    finally:
        try:
            if not unless():
                undo()
        except FirezoneError as error:
            logs.logger.error(  # noqa: TRY400 - the reason says it all
                "not everything could be undone",
                event_name="host.left",
                reason=str(error),
                hint="firezone host cleanup",
            )
