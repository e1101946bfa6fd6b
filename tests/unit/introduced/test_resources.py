"""Which names a pattern covers, for people; the core has its own."""

from __future__ import annotations

import pytest

from firezone.introduced.resources import matches


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("app.example", "app.example", True),
        ("app.example", "app.example.", True),
        ("APP.example", "app.EXAMPLE", True),
        ("app.example", "appxexample", False),
        ("*.example", "example", True),
        ("*.example", "a.example", True),
        ("*.example", "a.b.example", False),
        ("**.example", "example", True),
        ("**.example", "a.b.example", True),
        ("a.*.example", "a.b.example", True),
        ("a.*.example", "a.example", False),
        ("a.**.example", "a.b.c.example", True),
        ("app-?.example", "app-1.example", True),
        ("app-?.example", "app-12.example", False),
        ("web*.example", "web12.example", True),
    ],
)
def test_a_pattern_covers_names(pattern: str, name: str, covers: bool) -> None:
    assert matches(pattern, name) is covers
