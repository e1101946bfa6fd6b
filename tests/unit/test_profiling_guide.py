"""The guide to profiling names what there is: targets, options, benchmarks, threads, programs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from benches.profile.recording import record

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "profiling.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith("#")
]
BUILT = re.compile(r"^target/(?:ci|release)/deps/([a-z]+)-[0-9a-f]+$")


def of(*words: str) -> list[list[str]]:
    """Return the commands that begin with some words."""
    return [command for command in COMMANDS if tuple(command[: len(words)]) == words]


def test_the_targets_that_it_names_exist() -> None:
    named = set(re.findall(r"`?make ([a-z][a-z-]+)", GUIDE))

    assert "profile" in named
    assert [name for name in named if f".PHONY: {name}\n" not in MAKEFILE] == []


@pytest.mark.parametrize("module", ["benches.profile.run"])
def test_the_options_of_make_profile_exist(module: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    given = [word for _, _, arguments in of("make", "profile")[1:] for word in arguments.split()]

    options = [word.removeprefix("ARGS=") for word in given if "--" in word]
    assert len(options) == 2
    assert [option for option in options if option not in shown] == []


def test_what_cargo_is_told_to_build_exists_and_is_what_is_run() -> None:
    listed = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    targets = {
        (package["name"], f"--{target['kind'][0]}", target["name"])
        for package in json.loads(listed)["packages"]
        for target in package["targets"]
    }
    told = set()
    for command in [*of("cargo", "bench"), *of("cargo", "test")]:
        at = command.index("-p") + 1
        told.add((command[at], command[at + 1], command[at + 2]))
    runs = {found[1] for command in COMMANDS for word in command if (found := BUILT.match(word))}

    assert told <= targets
    assert {name for _, _, name in told} == runs == {"it", "path", "ratios"}


def test_the_station_that_callgrind_looks_at_exists() -> None:
    stations = tomllib.loads((ROOT / "benches" / "instructions.toml").read_text())["per_packet"]

    (command,) = of("valgrind")
    assert command[-2] in stations


def test_perf_records_as_make_profile_does() -> None:
    wanted = record([1], Path("x"))[2:8]

    recordings = of("perf", "record")
    assert len(recordings) == 4
    assert [command for command in recordings if command[2:8] != wanted] == []


def test_every_thread_that_it_names_is_named_in_the_code_and_none_is_left_out() -> None:
    told = set(re.findall(r"^\| `(fz-[a-z-]+)` \|", GUIDE, re.MULTILINE))
    sources = [
        *(ROOT / "rust" / "runtime" / "src").rglob("*.rs"),
        *(ROOT / "python" / "firezone").rglob("*.py"),
    ]
    quoted = re.compile(r'(?:name\(|name_thread\(|name=|prefix=|name = )"(fz-[a-z-]+)"')
    named = {name for source in sources for name in quoted.findall(source.read_text())}

    assert told == named


def test_its_programs_are_installed_by_the_project() -> None:
    (debian,) = of("apt-get", "install")
    packages = re.findall(r"^(?:SYSTEM|BENCH)_PACKAGES := (.*)$", MAKEFILE, re.MULTILINE)
    installed = " ".join(packages).split()

    assert [package for package in debian[2:] if package not in installed] == []
    assert "--root $(TOOLS) inferno" in MAKEFILE


def test_frame_pointers_and_names_of_functions_are_kept() -> None:
    flags = tomllib.loads((ROOT / ".cargo" / "config.toml").read_text())["build"]["rustflags"]
    release = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["release"]

    assert "force-frame-pointers=yes" in flags
    assert release["strip"] in {"none", "debuginfo"}


def test_its_links_lead_to_files() -> None:
    links = re.findall(r"\]\((\.\./[^)]+)\)", GUIDE)

    assert links
    assert [link for link in links if not (ROOT / "docs" / "guides" / link).exists()] == []
