"""WireGuard keys in files: one line of base64, readable by their owner alone."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from typing import TYPE_CHECKING, Final

from firezone import _core

from .errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BYTES", "create", "decode", "encode", "new", "public_key", "random_key", "read"]

BYTES: Final = 32


def encode(key: bytes) -> str:
    """Return a key as people write it."""
    return base64.standard_b64encode(key).decode()


def decode(text: str, *, what: str, setting: str | None = None) -> bytes:
    """Read a key as people write it.

    Args:
        text: 32 bytes in base64.
        what: Whose key it is, for the message.
        setting: Which setting names it.

    Raises:
        ConfigError: It is no key. What was given is not repeated: it may be secret.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != BYTES:
        raise ConfigError(
            f"{what} holds no key: a key is 32 bytes in base64, which are 44 characters",
            setting=setting,
            hint="`firezone keys new FILE` makes a new one",
        )
    return key


def public_key(private_key: bytes) -> str:
    """Return the public key of a private one, in base64."""
    return encode(_core.public_key(private_key))


def new() -> bytes:
    """Return a new private key that is nowhere but here."""
    return _core.generate_key()


def random_key() -> str:
    """Return a new secret key, in base64."""
    return encode(_core.generate_key())


def create(path: Path) -> str:
    """Write a new private key to a file that does not exist yet, mode 0600.

    Returns:
        Its public key.

    Raises:
        ConfigError: The file exists or cannot be written.
    """
    key = _core.generate_key()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        message = f"{path} exists; a key that is overwritten is lost"
        raise ConfigError(message, hint="choose another file, or remove it yourself") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}", hint="choose another file"
        ) from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(encode(key) + "\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        # Half a key would stand in the way of a whole one.
        path.unlink(missing_ok=True)
        message = f"{path}: {error.strerror or error}"
        raise ConfigError(message, hint="choose another file") from error
    return public_key(key)


def read(path: Path) -> bytes:
    """Read a private key.

    Raises:
        ConfigError: The file is missing, others may read it, or it holds no key.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii")
    except FileNotFoundError as error:
        hint = f"make one: firezone keys new {path}"
        raise ConfigError(
            f"{path} does not exist", setting="private_key_file", hint=hint
        ) from error
    except UnicodeDecodeError as error:
        text, hint = f"{path} holds no key", f"make one: firezone keys new {path}.new"
        raise ConfigError(text, setting="private_key_file", hint=hint) from error
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise ConfigError(message, setting="private_key_file") from error
    if mode & 0o077:
        message = f"{path}: others can read this private key"
        raise ConfigError(message, setting="private_key_file", hint=f"chmod 600 {path}")
    return decode(text, what=str(path), setting="private_key_file")
