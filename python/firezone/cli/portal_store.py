"""What the commands of `firezone portal` share: the database, an account, what is printed."""

from __future__ import annotations

import asyncio
import getpass
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from firezone.errors import ConfigError, ResourceNotFound

from .table import print_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from pydantic import BaseModel

    from firezone.portal.database import Scope
    from firezone.portal.settings import PortalSettings
    from firezone.portal.store import Store

__all__ = ["Portal", "checked", "done", "installed", "show", "show_one"]

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")


@contextmanager
def installed() -> Iterator[None]:
    """Say which extra is missing if one is.

    Raises:
        ConfigError: The portal's libraries are not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "firezone":
            raise
        hint = "pip install 'firezone[portal]', and firezone[portal,postgres] for PostgreSQL"
        message = f"the portal needs {error.name}, which is not installed"
        raise ConfigError(message, hint=hint) from error


@dataclass(frozen=True)
class Portal:
    """What the options before the command say.

    Args:
        database: Its URL; None is as set.
        file: The file of settings.
        account: The account's short name; None is the only one.
    """

    database: str | None
    file: Path | None
    account: str | None

    def settings(self, **flags: object) -> PortalSettings:
        """Return the settings."""
        with installed():
            from firezone.portal.settings import load

            return load(file=self.file, flags={"database": self.database, **flags})

    def read(self, work: Callable[[Scope], Awaitable[T]]) -> T:
        """Read an account."""

        async def reading(store: Store, account: str) -> T:
            async with store.read(account, int(time.time())) as scope:
                return await work(scope)

        return self._run(reading)

    def change(self, work: Callable[[Scope], Awaitable[T]]) -> T:
        """Change an account; a portal that runs tells those concerned."""
        from firezone.portal.database import Actor

        actor = Actor(f"command line of {_user()}")

        async def changing(store: Store, account: str) -> T:
            async with store.change(account, actor, int(time.time())) as scope:
                return await work(scope)

        return self._run(changing)

    def whole(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Do something with all accounts."""

        async def alone(store: Store, _account: str) -> T:
            return await work(store)

        return self._run(alone, of_account=False)

    def _run(self, work: Callable[[Store, str], Awaitable[T]], *, of_account: bool = True) -> T:
        url = self.settings().database

        async def working() -> T:
            from firezone.portal.store import Store

            store = await Store.open(url, serves=False, migrates=False)
            try:
                account = await self._account(store) if of_account else ""
                return await work(store, account)
            finally:
                await store.close()

        with installed():
            return asyncio.run(working())

    async def _account(self, store: Store) -> str:
        known = {account.slug: account.id for account in await store.accounts()}
        if self.account is not None:
            if self.account not in known:
                hint = f"there are {', '.join(known)}" if known else "firezone portal init"
                raise ResourceNotFound(f"there is no account {self.account!r}", hint=hint)
            return known[self.account]
        if len(known) != 1:
            text = "there is no account" if not known else "there are several accounts"
            hint = f"--account {next(iter(known))}" if known else "firezone portal init"
            raise ConfigError(text, hint=hint)
        return next(iter(known.values()))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def checked(model: type[M], **given: object) -> M:
    """Return an input of the portal.

    Raises:
        click.UsageError: Something is wrong with it; the text says what.
    """
    from pydantic import ValidationError

    try:
        return model(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise click.UsageError(f"{field}: {reason}" if field else reason) from error


def show(what: str, items: Iterable[BaseModel], columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print a list."""
    rows: list[dict[str, Any]] = [item.model_dump(mode="json") for item in items]
    if as_json:
        click.echo(json.dumps({"schema": f"firezone.portal.{what}/1", what: rows}))
    else:
        print_table(columns, rows)


def show_one(what: str, item: BaseModel, *, as_json: bool) -> None:
    """Print one: its fields, a line each."""
    fields = item.model_dump(mode="json")
    if as_json:
        click.echo(json.dumps({"schema": f"firezone.portal.{what}/1", what: fields}))
        return
    from firezone.log_lines import visible

    width = max(map(len, fields)) + 1
    for name, value in fields.items():
        text = "-" if value is None else value
        text = json.dumps(text) if isinstance(text, list | dict) else str(text)
        click.echo(f"{name.replace('_', ' ') + ':':{width}} {visible(text)}")


def done(what: str, *, as_json: bool) -> None:
    """Tell of a change that has nothing else to tell; the exit code says that it was made."""
    if as_json:
        click.echo(json.dumps({"schema": f"firezone.portal.{what}/1", "done": True}))
