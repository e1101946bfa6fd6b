"""One pipeline for the events of Python and of the core: redacted, in order of time, as lines.

    log = open_logs("gateway")
    log.logger.info("access given", event_name="access.given", resource=resource)
    log.record(event_of_the_core)
    log.close()

Importing this configures nothing.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, cast

import structlog

from .log_files import FILE_BYTES, TOTAL_BYTES, LogFiles, default_folder
from .log_lines import SEVERITIES, Record, severity_rank, to_human, to_json
from .log_order import WINDOW, OrderedWriter
from .redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

__all__ = ["LogForm", "LogPipeline", "StdlibHandler", "console", "open_logs"]

LogForm = Literal["auto", "human", "json"]

_INTERNAL: Final = ("exc_info", "stack_info")


class LogPipeline:
    """Takes events and hands lines to sinks.

    Args:
        *sinks: Called with each record in order of time, on a thread of the pipeline. A sink that
            holds something open is closed by whoever opened it, or by `on_close`.
        level: The least severity that is written; may be changed at any time.
        window: Seconds that an event waits for earlier ones of another source.
        on_close: Called at the end, after the last record.
    """

    def __init__(
        self,
        *sinks: Callable[[Record], None],
        level: str = "info",
        window: float = WINDOW,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._rank = severity_rank(level)
        self._redaction = Redaction()
        self._writer = OrderedWriter(*sinks, window=window)
        self._on_close = on_close
        # Bound once: a lazy proxy would be built anew for each event.
        self.logger: FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[self._take],
            # The level that holds is asked in `_take`: it may change at any time.
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        ).bind()

    @property
    def level(self) -> str:
        """The least severity that is written: trace, debug, info, warn or error."""
        return SEVERITIES[self._rank].lower()

    @level.setter
    def level(self, level: str) -> None:
        self._rank = severity_rank(level)

    def register_secret(self, secret: str) -> None:
        """Let stars stand for a value in everything that is written from now on."""
        self._redaction.register(secret)

    def record(self, event: Mapping[str, Any]) -> None:
        """Take an event of the core.

        Args:
            event: `time` in nanoseconds since 1970, `severity`, `message`, then fields. What is
                missing or wrong is mended: a log must not fail.
        """
        moment = event.get("time")
        if not isinstance(moment, int) or isinstance(moment, bool):
            moment = time.time_ns()
        try:
            rank = severity_rank(str(event.get("severity", "info")))
        except ValueError:
            rank = severity_rank("info")
        fields = {
            name: value
            for name, value in event.items()
            if name not in ("time", "severity", "message")
        }
        self._put(moment, rank, event.get("message", ""), fields)

    def flush(self) -> None:
        """Write what waits for earlier events."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits and end; later events are still written where a sink takes them."""
        self._writer.close()
        self._on_close()

    def _take(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Take an event of structlog: the last of its processors."""
        rank = severity_rank(method)
        if rank >= self._rank:
            fields = dict(event)
            message = fields.pop("event", "")
            named = {"event": fields.pop("event_name")} if "event_name" in fields else {}
            _add_exception(fields)
            for name in _INTERNAL:
                fields.pop(name, None)
            self._put(time.time_ns(), rank, message, {**named, **fields})
        raise structlog.DropEvent

    def _put(self, moment: int, rank: int, message: object, fields: Mapping[str, Any]) -> None:
        if rank < self._rank:
            return
        redacted = {
            self._redaction.text(name): self._redaction.field(name, value)
            for name, value in fields.items()
        }
        text = self._redaction.text(str(message))
        self._writer.put(Record(moment, SEVERITIES[rank], text, redacted))


class StdlibHandler(logging.Handler):
    """Hands records of the standard library's `logging` to a pipeline: asyncio's, dnspython's.

    Args:
        pipeline: Where they go.
    """

    def __init__(self, pipeline: LogPipeline) -> None:
        super().__init__()
        self._pipeline = pipeline

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one over."""
        fields: dict[str, Any] = {"target": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
            _add_exception(fields)
            del fields["exc_info"]
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        level = "error" if record.levelno >= logging.ERROR else "warn"
        if record.levelno < logging.WARNING:
            level = "info" if record.levelno >= logging.INFO else "debug"
        moment = int(record.created * 1e9)
        self._pipeline.record({"time": moment, "severity": level, "message": message, **fields})


def console(form: LogForm = "auto", stream: TextIO | None = None) -> Callable[[Record], None]:
    """Return a sink that writes to a terminal or a pipe.

    Args:
        form: `human`, `json`, or `auto`: human on a terminal, JSON otherwise.
        stream: Where; None is stderr as it is at each line.
    """

    def write(record: Record) -> None:
        target = sys.stderr if stream is None else stream
        human = form == "human" or (form == "auto" and target.isatty())
        text = to_human(record) + "\n" if human else to_json(record).decode()
        # Nobody may be left to read it.
        try:
            target.write(text)
            target.flush()
        except (OSError, ValueError):
            return

    return write


def open_logs(
    role: str,
    *,
    folder: Path | None = None,
    level: str = "info",
    form: LogForm | None = "auto",
    file_bytes: int = FILE_BYTES,
    total_bytes: int = TOTAL_BYTES,
) -> LogPipeline:
    """Open the log files of a role, and its console.

    Args:
        role: First part of the files' names.
        folder: Where they are; None: LOG_DIR, /var/log/firezone for root, or the user's folder.
        level: The least severity that is written.
        form: Of the console; None for no console.
        file_bytes: Size at which a new file is begun.
        total_bytes: Size of all at which the oldest go.

    Raises:
        ConfigError: The folder cannot be used.
        NeedsPrivilege: It may not be used.
    """
    files = LogFiles(
        role, folder or default_folder(), file_bytes=file_bytes, total_bytes=total_bytes
    )

    def to_file(record: Record) -> None:
        files.write(to_json(record))

    sinks = [to_file] if form is None else [to_file, console(form)]
    return LogPipeline(*sinks, level=level, on_close=files.close)


def _add_exception(fields: dict[str, Any]) -> None:
    """Write an exception as a field: a plain traceback, without local variables."""
    given = fields.get("exc_info")
    if not given:
        return
    error: object = given
    if isinstance(given, tuple):
        error = given[1]
    elif not isinstance(given, BaseException):
        error = sys.exc_info()[1]
    if error is not None:
        lines = traceback.format_exception(cast("BaseException", error))
        fields["exception"] = "".join(lines).rstrip("\n")
