"""The scripting API is documented: arguments, units, errors, and examples that run."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import firezone.nat

NAMES = {name: getattr(firezone.nat, name) for name in firezone.nat.__all__}
CLASSES = {name: of for name, of in NAMES.items() if inspect.isclass(of)}
TIMED = {"now", "until"}
CHECKED = {
    "addresses", "batch", "client", "command", "destination", "family", "gateway", "into", "lookup",
    "name", "offsets", "packets", "peer", "proxy", "queue", "resource", "side", "source", "state",
    "status", "target", "timestamps", "verdicts",
} | TIMED  # fmt: skip
"""Arguments that can be wrong: who takes one says what happens then."""


def public(of: type) -> dict[str, Any]:
    """Return the public members of a class, the core's too, but not the fields of a row."""
    own = [kind for kind in of.__mro__ if kind.__module__.startswith("firezone")]
    names = {name for kind in own for name in vars(kind) if not name.startswith("_")}
    return {name: inspect.getattr_static(of, name) for name in sorted(names - fields(of))}


def fields(of: type) -> set[str]:
    """Return the fields of a dataclass or a named tuple."""
    return set(getattr(of, "__match_args__", ()))


def functions() -> dict[str, Any]:
    """Return what can be called, by its name: functions, and methods of classes."""
    found = {name: of for name, of in NAMES.items() if inspect.isroutine(of)}
    for name, of in CLASSES.items():
        for member in public(of):
            if inspect.isroutine(getattr(of, member)):
                found[f"{name}.{member}"] = getattr(of, member)
    return found


def arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def described_fields(of: type) -> set[str]:
    """Return the fields of a class behind which a text stands in its source."""
    (body,) = ast.parse(inspect.getsource(of)).body
    assert isinstance(body, ast.ClassDef)
    pairs = zip(body.body, body.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def examples(of: Any) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(of) or "")


def test_all_that_is_public_says_what_it_is() -> None:
    members = {
        f"{name}.{member}": thing
        for name, of in CLASSES.items()
        for member, thing in public(of).items()
    }
    silent = [name for name, of in {**NAMES, **members}.items() if not inspect.getdoc(of)]

    assert len(members) > 60
    assert silent == []


@pytest.mark.parametrize("name", [name for name, of in CLASSES.items() if fields(of)])
def test_every_field_says_what_it_is(name: str) -> None:
    of = CLASSES[name]

    assert described_fields(of) == fields(of)


@pytest.mark.parametrize("name", list(functions()))
def test_every_argument_is_told_of(name: str) -> None:
    function = functions()[name]
    told = inspect.getdoc(function) or ""

    assert [one for one in arguments(function) if not re.search(rf"\b{one}\b", told)] == []


@pytest.mark.parametrize("name", list(functions()))
def test_who_takes_what_can_be_wrong_says_what_is_raised(name: str) -> None:
    function = functions()[name]
    told = inspect.getdoc(function) or ""

    if CHECKED & set(arguments(function)):
        assert "Raises:\n" in told


@pytest.mark.parametrize("name", list(functions()))
def test_who_takes_a_time_says_its_unit(name: str) -> None:
    function = functions()[name]

    if TIMED & set(arguments(function)):
        assert "seconds" in (inspect.getdoc(function) or "")


@pytest.mark.parametrize("name", list(NAMES))
def test_every_class_and_function_has_an_example_that_runs(name: str) -> None:
    of = NAMES[name]
    if not (inspect.isclass(of) or inspect.isroutine(of)):
        return
    inside = public(of).values() if inspect.isclass(of) else ()
    runner, tried = doctest.DocTestRunner(), 0
    for thing in (of, *inside):
        found = examples(thing)
        test = doctest.DocTest(found, dict(NAMES), name, None, 0, inspect.getdoc(thing))
        tried += len(found)
        runner.run(test, clear_globs=False)

    assert tried > 0
    assert runner.failures == 0


def test_every_source_that_is_cited_is_one_of_a_standard_or_a_rule() -> None:
    texts = [inspect.getdoc(of) or "" for of in (*NAMES.values(), *functions().values())]
    rules = {rule for text in texts for rule in re.findall(r"\bR\d\d\b", text)}
    table = Path(__file__).parents[2] / "docs" / "rules.md"

    known = set(re.findall(r"\bR\d\d\b", table.read_text()))
    assert len(rules) > 20
    assert rules <= known
