"""Telling systemd how a service is doing: sd_notify(3), which is one datagram."""

from __future__ import annotations

import os
import socket

__all__ = ["notify"]


def notify(*lines: str) -> None:
    """Tell systemd, if it waits to be told: `READY=1`, `RELOADING=1`, `STOPPING=1`, `STATUS=...`.

    Without systemd this does nothing; what cannot be told must not hinder the service.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto("\n".join(lines).encode(), address)
        except OSError:
            return
