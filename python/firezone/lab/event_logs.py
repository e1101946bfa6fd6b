"""Log files of the two endpoints of a laboratory."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import platformdirs
import structlog

from .run import Logs

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

__all__ = ["EventLogs"]

_SEVERITIES: Final = {"warning": "WARN", "critical": "ERROR"}


class EventLogs:
    """Opens `client.TIME.log` and `gateway.TIME.log` in the log folder, JSON lines."""

    def __init__(self) -> None:
        self.folder = _folder()
        self._files: list[TextIO] = []
        self._logs: Logs | None = None

    def loggers(self) -> Logs:
        """Return the loggers, the same each time."""
        if self._logs is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._logs = Logs(client=self._open("client"), gateway=self._open("gateway"))
        return self._logs

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _open(self, role: str) -> FilteringBoundLogger:
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        descriptor = os.open(
            self.folder / f"{role}.{now}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        # Line by line, so that each line is one write.
        file = os.fdopen(descriptor, "w", buffering=1)
        self._files.append(file)
        logger: FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(file),
            processors=[_arrange, structlog.processors.JSONRenderer(default=str)],
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
        )
        return logger


def _arrange(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    now = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
    message = event.pop("event")
    severity = _SEVERITIES.get(method, method.upper())
    return {"time": now, "severity": severity, "message": message, **event}


def _folder() -> Path:
    if override := os.environ.get("LOG_DIR"):
        return Path(override)
    if os.geteuid() == 0:
        return Path("/var/log/firezone")
    return Path(platformdirs.user_log_dir("firezone"))
