"""The table of RFC requirements in docs/rules.md names tests that exist, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"^\s*fn ((?:rfc|r\d\d)\w+)\s*\(", re.MULTILINE)


def named() -> set[str]:
    """Return the beginnings of test names that the table gives."""
    table = (ROOT / "docs" / "rules.md").read_text().split("## Requirements of the RFCs")[1]
    return set(re.findall(r"`((?:rfc|r\d\d)\w+)`", table))


def rust_tests(under: str) -> set[str]:
    """Return the names of Rust tests that carry a requirement or a rule."""
    files = (ROOT / under).rglob("*.rs")
    return {name for file in files for name in TEST.findall(file.read_text())}


def test_every_test_that_the_table_names_exists() -> None:
    existing = rust_tests("rust")
    missing = {name for name in named() if not any(test.startswith(name) for test in existing)}

    assert missing == set()


def test_every_test_of_a_requirement_is_in_the_table() -> None:
    own = rust_tests("rust/simulation/tests/it/rfc")
    unnamed = {test for test in own if not any(test.startswith(name) for name in named())}

    assert len(own) >= 25
    assert unnamed == set()
