"""What systemd is told."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from firezone.notify import notify

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize("path", ["", "relative", "/nonexistent/socket", "/" + "x" * 90])
def test_without_systemd_nothing_happens(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path)

    notify("READY=1")
