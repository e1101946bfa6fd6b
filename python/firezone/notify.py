"""Telling systemd how a service is doing: sd_notify(3), which is one datagram."""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["barrier", "notify"]

_PATIENCE: Final = 5.0
"""Seconds that systemd may take to read what it was told."""


def notify(*lines: str, descriptors: Sequence[int] = ()) -> bool:
    """Tell systemd, if it waits to be told: `READY=1`, `RELOADING=1`, `STOPPING=1`, `STATUS=...`.

    Without systemd this does nothing; what cannot be told must not hinder the service.

    Args:
        lines: What to tell.
        descriptors: What goes with it.

    Returns:
        Whether it was told.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            message = "\n".join(lines).encode()
            if descriptors:
                socket.send_fds(sender, [message], list(descriptors))
            else:
                sender.send(message)
        except OSError:
            return False
    return True


def barrier() -> bool:
    """Wait until systemd has read all that it was told; return whether it has."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        is_told = notify("BARRIER=1", descriptors=[theirs])
        os.close(theirs)
        theirs = -1
        # When it has come to that it closes its copy, the last one.
        return is_told and bool(select.select([ours], [], [], _PATIENCE)[0])
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
