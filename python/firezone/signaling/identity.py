"""By what the portal knows a device again."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import TYPE_CHECKING

from firezone.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["device_id", "external_id"]


def external_id(text: str) -> str:
    """Return what the portal is told for a device's id: the SHA-256 of a UUID, others as they are.

    A UUID may be the machine's own and is nobody else's business.
    """
    text = text.strip()
    try:
        uuid.UUID(text)
    except ValueError:
        return text
    return hashlib.sha256(text.encode()).hexdigest()


def device_id(path: Path) -> str:
    """Return the id that a file holds; a new one is made if there is no file.

    Raises:
        ConfigError: The file cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _existing(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", setting="device_id") from error
    made = str(uuid.uuid4())
    with os.fdopen(descriptor, "w") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(descriptor)
    return made


def _existing(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise ConfigError(f"{path}: {reason}", setting="device_id") from error
    if not text:
        raise ConfigError(
            f"{path} is empty", setting="device_id", hint="remove it, and a new id is made"
        )
    return text
