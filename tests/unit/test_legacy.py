"""What a process leaves to the next one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from firezone.errors import FirezoneError
from firezone.legacy import Descriptor, Legacy, Memory

if TYPE_CHECKING:
    from pathlib import Path


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def spare() -> int:
    return os.open("/dev/null", os.O_RDONLY)


@pytest.mark.parametrize("state", [None, b"", b"\n{}\n\0state"])
def test_r38_a_memory_crosses_as_bytes(state: bytes | None) -> None:
    memory = Memory("client", 5, state, {"dns_servers": ["192.0.2.1"]})

    read = Memory.from_bytes(memory.to_bytes(), "client")

    assert read == memory
    assert "state" not in repr(memory)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"[" * 5000, "cannot be read"),
        (b'{"version": 1}\n', "cannot be read"),
        (Memory("gateway", 5).to_bytes(), "another role"),
        (Memory("client", 5).to_bytes().replace(b'"version": 1', b'"version": 9'), "version 9"),
        (Memory("client", 5).to_bytes().replace(b'"boot": "', b'"boot": "x'), "earlier boot"),
    ],
)
def test_r38_what_is_no_memory_of_this_role_and_boot_is_refused(
    content: bytes, reason: str
) -> None:
    with pytest.raises(FirezoneError, match=reason):
        Memory.from_bytes(content, "client")


def test_r38_a_legacy_crosses_as_descriptors() -> None:
    tun, lock = spare(), spare()
    legacy = Legacy([Descriptor("tun", tun)], Memory("client", 7, b"x"), lock)

    packed = [Descriptor(name, os.dup(number)) for name, number in legacy.packed()]
    unknown = spare()
    heir, reason = Legacy.of([*packed, Descriptor("unknown", unknown)], "client")

    assert reason is None
    assert [descriptor.name for descriptor in heir.descriptors] == ["tun"]
    assert heir.memory == legacy.memory
    assert heir.lock is not None
    assert not is_open(unknown)
    assert not os.get_inheritable(heir.descriptors[0].number)
    legacy.close()
    assert not is_open(tun)
    assert is_open(lock), "the journal's own"
    heir.close()
    for number in (lock, heir.lock):
        os.close(number)


def test_r38_a_legacy_without_memory_says_so(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise\n")
    noise = os.open(tmp_path / "noise", os.O_RDONLY)

    assert Legacy.of([], "client")[1] == "the former process left no word"
    _, reason = Legacy.of([Descriptor("memory", noise)], "client")

    assert reason == "what the former process knew cannot be read"
    assert not is_open(noise)
