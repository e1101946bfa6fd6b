"""The fixture of the Python benchmarks."""

from __future__ import annotations

from typing import Any

import pytest
from benches.python.harness import TURNS, Measure


@pytest.fixture(params=range(len(TURNS)), ids=[f"{at}-{who}" for at, who in enumerate(TURNS)])
def measure(request: pytest.FixtureRequest, benchmark: Any) -> Measure:
    """Return what times a side of a row."""
    return Measure(benchmark, TURNS[request.param])
