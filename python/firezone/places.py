"""Where Clients were heard of last, in a file: a Gateway that begins anew speaks to them at once.

A Client that only receives says nothing by itself, so its flows would wait for it (R42).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from . import socket_address
from .errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

__all__ = ["PlacesFile"]


class PlacesFile:
    """Client id to address and port.

    Args:
        path: The file.
        log: Told of what cannot be read or written.

    Raises:
        ConfigError: The folder cannot be used.
    """

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        self._path = path
        self._log = log
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"{path}: {error.strerror or error}"
            raise ConfigError(message, hint="set state_dir to a folder of yours") from error
        self.places = self._read()

    def record(self, event: dict[str, Any]) -> None:
        """Take a `peer` event of the core."""
        client, address = event["client"], event["address"]
        if address is None or event["state"] != "connected" or self.places.get(client) == address:
            return
        self.places[client] = address
        self._write()

    def keep(self, clients: set[str]) -> None:
        """Forget all but these Clients."""
        kept = {client: place for client, place in self.places.items() if client in clients}
        if kept != self.places:
            self.places = kept
            self._write()

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            self._log.warning(
                "places of Clients are not known", event_name="places.unread", reason=str(error)
            )
            return {}
        if not isinstance(content, dict):
            return {}
        return {str(client): place for client, place in content.items() if _is_address(place)}

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with open(fresh, "w", encoding="utf-8", opener=_private) as file:
                json.dump(self.places, file)
            fresh.replace(self._path)
        except OSError as error:
            self._log.warning(
                "places of Clients were not recorded",
                event_name="places.unwritten",
                reason=str(error),
            )


def _is_address(place: object) -> bool:
    """Whether the core can read it: one place that it cannot would keep a Client out."""
    try:
        socket_address.parse(str(place))
    except ValueError:
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
