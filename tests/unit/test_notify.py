"""What systemd is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from firezone.notify import notify


@pytest.mark.parametrize("is_abstract", [False, True])
def test_lines_go_in_one_datagram(
    is_abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{tmp_path}/notify"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if is_abstract else name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}" if is_abstract else name)
        systemd.settimeout(20)

        notify("READY=1", "STATUS=two")

        assert systemd.recv(1024) == b"READY=1\nSTATUS=two"


@pytest.mark.parametrize("path", [None, "", "relative"])
def test_without_systemd_nothing_is_sent(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if path is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind("relative")
        other.setblocking(False)

        notify("READY=1")

        with pytest.raises(BlockingIOError):
            other.recv(1024)


@pytest.mark.parametrize("path", ["/nonexistent/socket", "/" + "x" * 200, "@nobody"])
def test_a_systemd_that_is_gone_hinders_nobody(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    notify("READY=1")

    assert len(list(descriptors.iterdir())) == before
