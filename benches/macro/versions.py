"""Versions of what was measured, as each program tells its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["all_of", "go_version", "module_version"]


def all_of(tools: Path | None, firezone: str) -> list[str]:
    """Return the versions of all programs that there are."""
    found = [f"firezone {firezone}"]
    if tools is None:
        return found
    for name in ("boringtun-cli", "gotatun"):
        program = tools / name
        if program.exists():
            done = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=False
            )
            found.append(done.stdout.strip())
    if (tools / "wireguard").exists():
        found.append(f"wireguard-go {go_version(tools / 'wireguard')}")
    return found


def go_version(program: Path) -> str:
    """Return the version of the module that a Go program was built from."""
    command = ["go", "version", "-m", str(program)]
    return module_version(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )


def module_version(said: str) -> str:
    """Read what `go version -m` said."""
    row = next(line for line in said.splitlines() if line.split()[:1] == ["mod"])
    return row.split()[2]
