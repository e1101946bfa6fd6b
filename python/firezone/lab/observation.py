"""What can be seen of the two endpoints of a laboratory: log files and control sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from firezone.control import ControlServer, level_method, socket_path
from firezone.errors import FirezoneError
from firezone.log_files import default_folder
from firezone.logs import LogPipeline, open_logs

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from .endpoints import Endpoints

__all__ = ["Observation"]


class Observation:
    """Log files `client.TIME.log` and `gateway.TIME.log`, opened with the first run; every event.

    Attributes:
        client: The pipeline of the Client's events.
        gateway: The pipeline of the Gateway's events.
        folder: Where the files are.
    """

    def __init__(self) -> None:
        self.client: LogPipeline = open_logs("client", level="debug", form=None)
        self.gateway: LogPipeline = open_logs("gateway", level="debug", form=None)
        self.folder: Path = default_folder()

    def __enter__(self) -> Self:
        """Nothing is left to be opened."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits and close the files."""
        self.client.close()
        self.gateway.close()

    async def serve(self, endpoints: Endpoints, stack: contextlib.AsyncExitStack) -> None:
        """Let `firezone nat` reach the endpoints until the stack is left.

        A socket that an endpoint of this host has already is left to it, and the log says so.
        """
        for role, endpoint, logs in (
            ("client", endpoints.client, self.client),
            ("gateway", endpoints.gateway, self.gateway),
        ):
            methods = {**endpoint.methods(), "log.level": level_method(logs)}
            try:
                await stack.enter_async_context(ControlServer(socket_path(role), methods))
            except FirezoneError as error:
                logs.logger.warning("no control socket", event_name="control.none", why=str(error))
