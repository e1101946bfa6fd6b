"""What is said of a table that cannot be used: file, table, field, and what to write instead."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["nearest", "wrong_place", "wrong_table"]

_WORDS: Final = {
    "missing": "it is missing",
    "tuple_type": "write [[{table}]] with two brackets, once for each",
    "model_type": "write [[{table}]] with two brackets, once for each",
}

T = TypeVar("T", bound=BaseModel)


def wrong_place(
    path: Path, table: str, name: str, field: str, reason: str, *, hint: str | None = None
) -> ConfigError:
    """Return the error for a field of a table, by what people call both.

    Args:
        path: The file.
        table: Like `resource`.
        name: What the file calls this one.
        field: The field.
        reason: What is wrong.
        hint: What to do.
    """
    message = f"{path}: [[{table}]] {name}: {field}: {reason}"
    return ConfigError(message, setting=field, origin=str(path), hint=hint)


def wrong_table(
    path: Path, error: ValidationError, tables: Mapping[str, Any], models: Mapping[str, type[T]]
) -> ConfigError:
    """Return the error for the first thing that is wrong.

    Args:
        path: The file.
        error: What pydantic found.
        tables: What the file holds.
        models: Table to what one of it is.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    table, *inside = (str(part) for part in first["loc"])
    reason = _WORDS.get(first["type"], str(first["msg"]).removeprefix("Value error, "))
    reason = reason.format(table=table) if first["type"] in _WORDS else reason
    hint = None
    if len(inside) < 2:  # noqa: PLR2004 - a table's number and its field
        where = f"[[{table}]] {_name(tables, table, inside)}: " if inside else ""
        message = f"{path}: {where or f'{table}: '}{reason}"
        return ConfigError(message, setting=table, origin=str(path))
    field = inside[1]
    if first["type"] == "extra_forbidden":
        reason = "there is no such field"
        hint = nearest(field, models[table].model_fields)
    return wrong_place(path, table, _name(tables, table, inside), field, reason, hint=hint)


def nearest(name: str, known: Mapping[str, object]) -> str:
    """Return a hint for a name that is none of those that are known."""
    if not known:
        return "the file has none"
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"


def _name(tables: Mapping[str, Any], table: str, inside: list[str]) -> str:
    """Name a table by what its file calls it, else by its place."""
    number = int(inside[0])
    try:
        name = tables[table][number]["name"]
    except (KeyError, IndexError, TypeError):
        name = None
    return name if isinstance(name, str) and name else f"number {number + 1}"
