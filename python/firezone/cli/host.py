"""`firezone host`: what firezone changed on this host, and taking it back after a crash."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from structlog.typing import FilteringBoundLogger

    from firezone.host.journal import Journal, Role, Step

__all__ = ["host"]

ROLES: Final[tuple[Role, ...]] = ("client", "gateway")


@click.group()
def host() -> None:
    """Show and undo what firezone changed on this host."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="Write JSON.")(command)
    return click.option("--role", type=click.Choice(ROLES), help="Whose.  [default: all]")(command)


@host.command()
@_options
@click.option("--dry-run", is_flag=True, help="Only tell what would be undone.")
def cleanup(*, role: Role | None, as_json: bool, dry_run: bool) -> None:
    """Undo what a role left that did not end as it should; a running one is not touched."""
    from firezone.host.journal import Journal  # noqa: PLC0415
    from firezone.host.undo import undo  # noqa: PLC0415

    rows: list[tuple[Role, Step]] = []
    for each in _roles(role):
        if not Journal.peek(each).steps:
            continue
        journal = Journal.open(each)
        try:
            _check_namespace(each, journal)
            with _log() as log:
                steps = [*reversed(journal.steps)] if dry_run else undo(journal, log)
            rows += [(each, step) for step in steps]
        finally:
            journal.release()
    if as_json:
        _write("firezone.host.cleanup/1", rows, dry_run=dry_run)
        return
    for each, step in rows:
        click.echo(f"{each}: {'would undo' if dry_run else 'undid'} {step}")
    if not rows:
        click.echo("there is nothing to undo")


@host.command()
@_options
def show(*, role: Role | None, as_json: bool) -> None:
    """Show what is changed on this host now, and by whom."""
    from firezone.host.journal import Journal  # noqa: PLC0415

    journals: list[tuple[Role, Journal]] = [(each, Journal.peek(each)) for each in _roles(role)]
    rows = [(each, step) for each, journal in journals for step in journal.steps]
    if as_json:
        running = {each: journal.is_held for each, journal in journals}
        _write("firezone.host/1", rows, running=running)
        return
    for each, journal in journals:
        state = "is running" if journal.is_held else "is not running"
        click.echo(f"the {each} {state}; steps to undo: {len(journal.steps)}", err=True)
    for each, step in rows:
        click.echo(f"{each}: {step}")


def _roles(role: Role | None) -> tuple[Role, ...]:
    return ROLES if role is None else (role,)


def _write(schema: str, rows: list[tuple[Role, Step]], **more: object) -> None:
    from dataclasses import asdict  # noqa: PLC0415

    steps = [{"role": role, "step": type(step).__name__, **asdict(step)} for role, step in rows]
    click.echo(json.dumps({"schema": schema, **more, "steps": steps}, indent=2))


def _check_namespace(role: Role, journal: Journal) -> None:
    """Refuse to forget what can be undone in another network namespace."""
    from firezone.errors import FirezoneError  # noqa: PLC0415

    if journal.is_of_this_boot and not journal.is_of_this_network:
        message = f"the {role} ran in another network namespace; it is not undone from here"
        hint = f"run this there, or remove {journal.path} if that namespace is gone"
        raise FirezoneError(message, hint=hint)


@contextlib.contextmanager
def _log() -> Iterator[FilteringBoundLogger]:
    from firezone.logs import LogPipeline, console  # noqa: PLC0415

    pipeline = LogPipeline(console(), level="warn")
    try:
        yield pipeline.logger
    finally:
        pipeline.close()
