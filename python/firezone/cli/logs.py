"""`firezone logs`: the JSON lines of the log files, for people."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .units import DURATION

if TYPE_CHECKING:
    from firezone.log_reader import Entry

__all__ = ["logs"]

SCHEMA: Final = "firezone.log/1"
EVERY: Final = 0.2
"""Seconds between two looks at the files."""


class _Since(click.ParamType[int]):
    """A time, or a duration before now; nanoseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the time."""
        from firezone.log_lines import parse_time  # noqa: PLC0415

        if isinstance(value, int):
            return value
        try:
            return parse_time(value)
        except ValueError:
            try:
                seconds = DURATION.convert(value, param, ctx)
            except click.BadParameter:
                self.fail(f"{value!r}: write 10min, or 2026-11-24T16:00:00Z", param, ctx)
        return time.time_ns() - int(seconds * 1e9)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until Ctrl-C.")
@click.option(
    "--level",
    type=click.Choice(("trace", "debug", "info", "warn", "error"), case_sensitive=False),
    default="trace",
    show_default=True,
    help="The least severity shown.",
)
@click.option("--since", type=_Since(), help="Nothing older, like 10min or 2026-11-24T16:00:00Z.")
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    help="The folder, or a file.  [default: LOG_DIR, or where logs are written]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines.")
def logs(*, follow: bool, level: str, since: int | None, path: Path | None, as_json: bool) -> None:
    """Show the log files of all roles in order of time; a bad line is shown as it is."""
    from firezone.errors import FirezoneError  # noqa: PLC0415
    from firezone.log_files import default_folder  # noqa: PLC0415
    from firezone.log_lines import severity_rank  # noqa: PLC0415
    from firezone.log_reader import LogReader  # noqa: PLC0415

    folder = path or default_folder()
    reader = LogReader(folder)
    least = severity_rank(level)
    found = False
    while True:
        for entry in reader.read(to_the_end=not follow):
            found = True
            if _is_wanted(entry, least, since):
                click.echo(_json(entry) if as_json else _human(entry))
        if not follow:
            break
        time.sleep(EVERY)
    if not found:
        message = f"{folder} has no logs"
        raise FirezoneError(message, hint="name the folder with --path, or set LOG_DIR")


def _is_wanted(entry: Entry, least: int, since: int | None) -> bool:
    from firezone.log_lines import severity_rank  # noqa: PLC0415

    if since is not None and entry.time < since:
        return False
    return entry.record is None or severity_rank(entry.record.severity) >= least


def _human(entry: Entry) -> str:
    from firezone.log_lines import to_human, visible  # noqa: PLC0415

    return visible(entry.text) if entry.record is None else to_human(entry.record, date=True)


def _json(entry: Entry) -> str:
    known = {"bad_line": entry.text} if entry.record is None else json.loads(entry.text)
    text = json.dumps({**known, "schema": SCHEMA}, ensure_ascii=False)
    # A lone surrogate becomes \udcxx, which is how JSON writes it.
    return text.encode("utf-8", "backslashreplace").decode()
