"""The direction of dependencies in Python, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "firezone"
MAY_USE_CORE = {"nat", "client", "gateway", "lab", "endpoint", "keys", "tap"}
HEAVY = {
    "pydantic",
    "pyroute2",
    "rich",
    "dns",
    "structlog",
    "asyncio",
    "click",
    "platformdirs",
    "prometheus_client",
    "websockets",
}


def imported(source: Path) -> set[str]:
    """Return the full names of all that a module imports, wherever in it."""
    package = ["firezone", *source.relative_to(PACKAGE).parent.parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def users_of(name: str) -> set[str]:
    return {
        source.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for source in PACKAGE.rglob("*.py")
        if any(found == name or found.startswith(f"{name}.") for found in imported(source))
    }


def test_few_import_the_core() -> None:
    users = users_of("firezone._core")

    assert "nat" in users
    assert users <= MAY_USE_CORE


def test_nobody_imports_the_command_line() -> None:
    assert users_of("firezone.cli") <= {"cli", "__main__"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("firezone", set()),
        ("firezone.errors", set()),
        ("firezone.cli", {"click"}),
        ("firezone.cli.version", {"click"}),
        ("firezone.cli.host", {"click"}),
        ("firezone.cli.logs", {"click"}),
        ("firezone.cli.nat", {"click"}),
        ("firezone.cli.config", {"click"}),
        ("firezone.cli.debug", {"click"}),
        ("firezone.cli.dns", {"click"}),
        ("firezone.cli.explain", {"click"}),
        ("firezone.cli.ping", {"click"}),
    ],
)
def test_an_import_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    script = f"import sys, {module}; print(*(m for m in sys.modules if '.' not in m))"

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert HEAVY & set(ended.stdout.split()) <= allowed
