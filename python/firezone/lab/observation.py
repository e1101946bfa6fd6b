"""What can be seen of the two endpoints of a laboratory: log files and control sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from firezone.control import ControlServer, level_method, socket_path
from firezone.errors import FirezoneError
from firezone.log_files import default_folder
from firezone.logs import open_logs

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from firezone.config import Role
    from firezone.logs import LogPipeline
    from firezone.orchestration import Orchestration

    from .endpoints import Endpoints

__all__ = ["Observation"]


class Observation:
    """Log files `client.TIME.log` and `gateway.TIME.log`, opened when they are needed; every event.

    Attributes:
        folder: Where the files are, those of endpoints in processes of their own too.
    """

    def __init__(self) -> None:
        self.folder: Path = default_folder()
        self._open: dict[Role, LogPipeline] = {}

    def __enter__(self) -> Self:
        """Nothing is left to be opened."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits and close the files."""
        for logs in self._open.values():
            logs.close()

    def logs(self, role: Role) -> LogPipeline:
        """Return the pipeline of a role's events.

        Raises:
            FirezoneError: The folder cannot be used.
        """
        if role not in self._open:
            self._open[role] = open_logs(role, level="debug", form=None)
        return self._open[role]

    async def serve(self, endpoints: Endpoints, stack: contextlib.AsyncExitStack) -> None:
        """Let `firezone nat` reach the endpoints until the stack is left.

        A socket that an endpoint of this host has already is left to it, and the log says so.
        """
        served: tuple[tuple[Role, Orchestration], ...] = (
            ("client", endpoints.client),
            ("gateway", endpoints.gateway),
        )
        for role, endpoint in served:
            logs = self.logs(role)
            methods = {**endpoint.methods(), "log.level": level_method(logs)}
            try:
                await stack.enter_async_context(ControlServer(socket_path(role), methods))
            except FirezoneError as error:
                logs.logger.warning("no control socket", event_name="control.none", why=str(error))
