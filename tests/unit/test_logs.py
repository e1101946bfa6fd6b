"""One pipeline for the events of Python and of the core."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firezone.log_lines import Record, from_json
from firezone.logs import LogPipeline, StdlibHandler, console, open_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def written() -> list[Record]:
    return []


@pytest.fixture
def pipeline(written: list[Record]) -> Iterator[LogPipeline]:
    pipeline = LogPipeline(written.append, level="debug", window=60)
    yield pipeline
    pipeline.close()


def test_an_event_of_python(pipeline: LogPipeline, written: list[Record]) -> None:
    before = time.time_ns()
    pipeline.logger.bind(role="client").warning("no room", event_name="nat.refused", name="app")
    pipeline.flush()

    (record,) = written
    assert before <= record.time <= time.time_ns()
    assert record.severity == "WARN"
    assert record.message == "no room"
    assert record.fields == {"event": "nat.refused", "role": "client", "name": "app"}


def test_events_of_python_and_of_the_core_are_merged_by_time(
    pipeline: LogPipeline, written: list[Record]
) -> None:
    before = time.time_ns()
    pipeline.logger.info("of python")
    pipeline.record({"time": before, "severity": "info", "message": "of the core", "peer": 3})
    pipeline.flush()

    assert [record.message for record in written] == ["of the core", "of python"]
    assert written[0].time == before
    assert written[0].fields == {"peer": 3}


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"time": "noon", "severity": "loud", "message": 7},
        {"time": True, "severity": None, "message": None},
    ],
)
def test_a_bad_event_of_the_core_is_mended(
    event: dict[str, object], pipeline: LogPipeline, written: list[Record]
) -> None:
    pipeline.record(event)
    pipeline.flush()

    assert written[0].severity == "INFO"
    assert written[0].time > 10**18


def test_the_level_changes_at_run_time(pipeline: LogPipeline, written: list[Record]) -> None:
    logger = pipeline.logger.bind(bound="before")
    pipeline.level = "warn"
    logger.info("not written")
    pipeline.record({"severity": "debug", "message": "not written"})
    pipeline.level = "TRACE"
    logger.debug("written")
    pipeline.record({"severity": "trace", "message": "written too"})
    pipeline.flush()

    assert [record.message for record in written] == ["written", "written too"]
    assert pipeline.level == "trace"
    with pytest.raises(ValueError, match="no level"):
        pipeline.level = "loud"


def test_an_exception_is_a_field_without_local_variables(
    pipeline: LogPipeline, written: list[Record]
) -> None:
    def fail() -> None:
        innocent = "hunter2"
        raise ValueError(len(innocent))

    try:
        fail()
    except ValueError:
        pipeline.logger.exception("it failed", event_name="core.unhandled")

    (record,) = written
    assert record.severity == "ERROR"
    assert record.fields["event"] == "core.unhandled"
    assert record.fields["exception"].startswith("Traceback (most recent call last):")
    assert record.fields["exception"].endswith("ValueError: 7")
    assert "exc_info" not in record.fields
    # The line of source names the variable; its value is nowhere.
    values = [value for name, value in record.fields.items() if name != "exception"]
    assert "hunter2" not in str(values)


def test_secrets_are_redacted_everywhere(pipeline: LogPipeline, written: list[Record]) -> None:
    pipeline.register_secret("hunter2")
    pipeline.logger.info("token is hunter2", access_token=b"abc", url="wss://x/?t=hunter2")
    pipeline.record({"message": "hunter2", "peer": {"psk": "abc"}})
    try:
        raise RuntimeError("hunter2")  # noqa: TRY301 - the traceback is what is tested
    except RuntimeError:
        pipeline.logger.exception("failed")

    assert len(written) == 3
    assert "hunter2" not in str(written[:2])
    assert "hunter2" not in written[2].fields["exception"].splitlines()[-1]
    assert "abc" not in str(written)


def test_records_of_the_standard_library_join(pipeline: LogPipeline, written: list[Record]) -> None:
    logger = logging.getLogger("firezone.test.stdlib")
    logger.propagate = False
    handler = StdlibHandler(pipeline)
    logger.addHandler(handler)
    try:
        logger.warning("from %s", "asyncio")
        logger.warning("bad %d", "arguments")
        try:
            raise OSError(5, "disk")  # noqa: TRY301 - the traceback is what is tested
        except OSError:
            logger.exception("with a traceback")
    finally:
        logger.removeHandler(handler)
    pipeline.flush()

    assert [(record.severity, record.message) for record in written] == [
        ("WARN", "from asyncio"),
        ("WARN", "bad %d"),
        ("ERROR", "with a traceback"),
    ]
    assert written[0].fields == {"target": "firezone.test.stdlib"}
    assert "OSError" in written[2].fields["exception"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_console_is_human_on_a_terminal_and_json_otherwise() -> None:
    record = Record(0, "INFO", "hello", {"peer": 1})
    terminal, pipe, forced = Terminal(), io.StringIO(), io.StringIO()

    console(stream=terminal)(record)
    console(stream=pipe)(record)
    console("human", forced)(record)

    assert terminal.getvalue() == "00:00:00.000 INFO  hello peer=1\n"
    assert from_json(pipe.getvalue()) == record
    assert forced.getvalue() == terminal.getvalue()


def test_a_console_that_nobody_reads_is_no_failure() -> None:
    stream = io.StringIO()
    stream.close()

    console("json", stream)(Record(0, "INFO", "hello"))


def test_a_console_with_no_room_is_no_failure() -> None:
    script = (
        "from firezone.log_lines import Record\n"
        "from firezone.logs import console\n"
        "console('json')(Record(0, 'INFO', 'hello'))\n"
        "print('went on')\n"
    )

    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, check=False
        )

    assert ended.stdout == b"went on\n"


def test_the_files_of_a_role(tmp_path: Path) -> None:
    logs = open_logs("gateway", folder=tmp_path, form=None)
    logs.logger.info("one", event_name="a.b")
    logs.logger.debug("too little")
    logs.close()

    (path,) = tmp_path.glob("gateway.*.log")
    document = json.loads(path.read_bytes())
    assert list(document)[:4] == ["time", "severity", "message", "event"]


def test_importing_configures_nothing() -> None:
    script = (
        "import logging, structlog\n"
        "before = structlog.get_config()\n"
        "import firezone.logs\n"
        "assert structlog.get_config() == before\n"
        "assert logging.getLogger().handlers == []\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
