"""The programs of the scripting guide run as they stand, and say what the guide says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "scripting.md").read_text()
SECTIONS = dict(
    re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE
    )
)


def run(section: str, where: Path) -> str:
    """Run the program of a section in a folder of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SECTIONS[section]],
        capture_output=True,
        text=True,
        check=False,
        cwd=where,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_no_program_of_the_guide_is_left_out() -> None:
    assert len(SECTIONS) == GUIDE.count("```python\n") == 5


def test_a_nat_by_hand(tmp_path: Path) -> None:
    lines = run("A NAT by hand", tmp_path).splitlines()

    assert lines[:2] == ["['translated', 'translated', 'no_address']", "True"]
    assert lines[-1] == "72 ['translated', 'translated', 'no_address']"


def test_replay_a_capture(tmp_path: Path) -> None:
    printed = run("Replay a capture", tmp_path)

    assert "Counter({'translated': 11}) 2\n" in printed
    assert "{'undecided'}\n" in printed
    assert (tmp_path / "translated.pcapng").stat().st_size > 0


def test_r01_an_upload_stalls_under_halt_and_not_under_keep(tmp_path: Path) -> None:
    printed = run("An upload with re-creations, under `halt` and `keep`", tmp_path)

    assert printed in GUIDE
    assert re.search(r"^keep: 0 of \d+ lost, 0 stalls", printed, re.MULTILINE)
    assert re.search(r"^halt: [1-9]\d* of \d+ lost, 5 stalls", printed, re.MULTILINE)
    assert (tmp_path / "upload.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("section", ["Measure", "Fuzz with packets of your own"])
def test_the_other_programs_run(section: str, tmp_path: Path) -> None:
    assert run(section, tmp_path)
