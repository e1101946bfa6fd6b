"""The harness of the tunnel runs, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


def test_the_bare_wire_is_measured_in_both_profiles(
    tmp_path: Path, left_behind: Callable[[int], list[str]]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    page = tmp_path / "macro.md"
    some = ("--only", "bare veth", "--metrics", "tcp1-up,udp-200,idle", "--rounds", "1")
    command = (sys.executable, "-m", "benches.macro.run", "--seconds", "1", *some)
    # Whatever else runs meanwhile: this is about what comes of it, not about how much.
    command += ("--patience", "0", "--during", "1", "--results", str(page))

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = process.communicate(timeout=120)[0]

    assert process.returncode == 0, said
    samples = json.loads(page.with_suffix(".json").read_text())["samples"]
    assert [(s["profile"], s["metric"]) for s in samples] == [
        ("V", "tcp1-up"),
        ("V", "udp-200"),
        ("V", "idle"),
        ("N", "tcp1-up"),
    ]
    assert all(s["values"].get("gbps", 1) > 0 for s in samples)
    assert "## Profile N" in page.read_text()
    assert page.with_suffix(".png").stat().st_size > 0
    assert left_behind(process.pid) == []
