"""The Containerfile fits the code: what it starts exists, what it asks for is what is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from firezone.cli import main
from firezone.host.sysctl import Sysctl

TEXT = (Path(__file__).parents[2] / "Containerfile").read_text()


def instruction(name: str) -> list[str]:
    found: list[str] = json.loads(re.findall(rf"^{name} (.*)$", TEXT, re.MULTILINE)[-1])
    return found


def test_it_starts_a_command_that_exists() -> None:
    assert instruction("ENTRYPOINT") == ["firezone"]
    assert main([*instruction("CMD"), "--help"]) == 0


def test_its_host_sets_what_a_gateway_would(tmp_path: Path) -> None:
    given = set(re.findall(r"--sysctl (net\S+)=1", TEXT))
    wanted = Sysctl(tmp_path).forwarding_values(4) | Sysctl(tmp_path).forwarding_values(6)
    # The default of interfaces to come follows from that of all.
    wanted.pop("net/ipv6/conf/default/forwarding")

    assert given == {key.replace("/", ".") for key in wanted}


def test_every_program_that_is_run_is_installed() -> None:
    for package in ("nftables", "iputils-ping"):
        assert package in TEXT
