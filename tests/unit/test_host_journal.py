"""The journal: what is to be undone, whatever happened to whoever wrote it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firezone.errors import FirezoneError
from firezone.host.journal import (
    AddressAdded,
    AddressRemoved,
    Journal,
    LinkChanged,
    ResolvConfWritten,
    ResolvedSet,
    RouteAdded,
    RuleAdded,
    Step,
    SysctlChanged,
    TableMade,
)

if TYPE_CHECKING:
    from pathlib import Path

STEPS = (
    TableMade("firezone-gateway"),
    SysctlChanged("net/ipv4/ip_forward", "0", "1", {"net/ipv4/conf/eth0/forwarding": ["0", "1"]}),
    LinkChanged("tun0", 1500, 1280, was_up=False),
    AddressAdded("tun0", "100.64.0.1/32"),
    AddressRemoved("tun0", "192.0.2.1/24"),
    RouteAdded(0x2021FD00, "100.64.0.0/11", "tun0", 0, None, 0),
    RuleAdded(4, 100, 0x2021FD00, 0xFD002021),
    ResolvConfWritten("/etc/resolv.conf", "/etc/x", "nameserver 10.0.0.1\n\udcff", "ours"),
    ResolvedSet("tun0"),
)


def test_steps_are_there_for_the_next_one(tmp_path: Path) -> None:
    journal = Journal.open("client", folder=tmp_path)
    journal.record(*STEPS)
    journal.release()

    found = Journal.open("client", folder=tmp_path)

    assert {type(step) for step in STEPS} == set(get_args(Step)), "every kind is tried"
    assert found.steps == STEPS
    assert found.is_of_this_network
    found.release()


def test_a_step_is_written_before_record_returns(tmp_path: Path) -> None:
    journal = Journal.open("gateway", folder=tmp_path)
    journal.record(STEPS[0])

    assert Journal.peek("gateway", folder=tmp_path).steps == STEPS[:1]
    assert stat.S_IMODE((tmp_path / "gateway.host.json").stat().st_mode) == 0o600
    journal.release()


def test_a_step_is_told_once_and_forgotten_once(tmp_path: Path) -> None:
    journal = Journal.open("client", folder=tmp_path)
    journal.record(STEPS[0], STEPS[1], STEPS[0])
    journal.record(STEPS[0])

    journal.forget(STEPS[0], STEPS[2])

    assert journal.steps == STEPS[1:2]
    journal.release()


def test_nothing_is_left_of_a_journal_without_steps(tmp_path: Path) -> None:
    journal = Journal.open("client", folder=tmp_path)
    journal.record(STEPS[0])
    journal.forget(STEPS[0])
    journal.release()

    assert not (tmp_path / "client.host.json").exists()


def test_only_one_process_of_a_role_holds_it(tmp_path: Path) -> None:
    journal = Journal.open("client", folder=tmp_path)

    with pytest.raises(FirezoneError, match="running on this host already"):
        Journal.open("client", folder=tmp_path)
    Journal.open("gateway", folder=tmp_path).release()
    assert Journal.peek("client", folder=tmp_path).is_held

    journal.release()
    assert not Journal.peek("client", folder=tmp_path).is_held
    Journal.open("client", folder=tmp_path).release()


def test_a_killed_process_leaves_its_steps_and_no_lock(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from firezone.host.journal import Journal, TableMade;"
        "Journal.open('client', folder=pathlib.Path(sys.argv[1])).record(TableMade('x'));"
        "os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert ended.returncode == -9

    journal = Journal.open("client", folder=tmp_path)

    assert journal.steps == (TableMade("x"),)
    journal.release()


def test_steps_of_another_boot_are_known_as_such(tmp_path: Path) -> None:
    journal = Journal.open("client", folder=tmp_path)
    journal.record(*STEPS)
    journal.release()
    path = tmp_path / "client.host.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))

    found = Journal.open("client", folder=tmp_path)
    assert not found.is_of_this_boot
    found.forget(STEPS[0])
    found.release()
    again = Journal.open("client", folder=tmp_path)
    assert not again.is_of_this_boot

    again.forget(*again.steps)
    again.record(STEPS[0])
    assert again.is_of_this_boot
    again.release()
    assert Journal.peek("client", folder=tmp_path).is_of_this_network


@settings(derandomize=True, deadline=None, max_examples=200)
@given(cut=st.integers(0, 10_000), junk=st.binary(max_size=8))
def test_a_torn_or_damaged_journal_is_refused_and_not_guessed_at(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal.open("client", folder=folder)
    journal.record(*STEPS)
    journal.release()
    path = folder / "client.host.json"
    whole = path.read_bytes()
    damaged = whole[: cut % len(whole)] + junk
    path.write_bytes(damaged)

    if damaged == whole:
        return
    with pytest.raises(FirezoneError) as caught:
        Journal.peek("client", folder=folder)
    assert str(path) in str(caught.value)
    assert "rm" in (caught.value.hint or "")


@pytest.mark.parametrize("step", STEPS)
def test_every_step_can_be_told_in_words(step: object) -> None:
    assert "object at" not in str(step)
    assert "\n" not in str(step)


def test_a_journal_that_was_opened_to_be_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FirezoneError):
        Journal.peek("client", folder=tmp_path).record(STEPS[0])
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "client.host.lock").symlink_to(target)

    with pytest.raises(OSError, match="symbolic"):
        Journal.open("client", folder=tmp_path)
    assert not target.exists()
