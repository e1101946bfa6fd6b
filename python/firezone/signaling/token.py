"""The token that a component signs in with, and where it comes from.

It comes from the variable FIREZONE_TOKEN, from a file that its owner alone may read, or from a
credential of systemd with the variable's name; never from a command line, which others can see.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from firezone.errors import AuthError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["VARIABLE", "find", "parse", "read_file"]

VARIABLE: Final = "FIREZONE_TOKEN"
_FOLDER: Final = "CREDENTIALS_DIRECTORY"
"""Where systemd puts a service's credentials."""
_VISIBLE: Final = re.compile(r"[!-~]+")
_LARGEST: Final = 64 * 1024


def find(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> SecretStr:
    """Return the token: of the variable, else of the file, else of systemd.

    Args:
        file: A file that has it, if one was named or usually has it.
        environment: The process's.

    Raises:
        AuthError: There is none.
        ConfigError: One is there and cannot be used.
    """
    if environment.get(VARIABLE):
        return parse(environment[VARIABLE], VARIABLE)
    if file is not None and file.exists():
        return read_file(file)
    folder = environment.get(_FOLDER)
    if folder and (credential := Path(folder, VARIABLE)).exists():
        # Its mode is systemd's business: nobody else may enter the folder.
        return parse(_text(credential), str(credential))
    places = f"{VARIABLE}, {file}" if file is not None else VARIABLE
    hint = "the portal's administrator makes one for this device"
    raise AuthError(f"no token: looked at {places} and systemd's credentials", hint=hint)


def read_file(path: Path) -> SecretStr:
    """Read a token's file.

    Raises:
        ConfigError: Others may read it, or it holds none.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", setting="token_file") from error
    if mode & 0o077:
        text, hint = f"{path}: others can read this token", f"chmod 600 {path}"
        raise ConfigError(text, setting="token_file", hint=hint)
    return parse(_text(path), str(path))


def parse(text: str, origin: str) -> SecretStr:
    """Return a token; white space in it, as of a paste that was wrapped, does not count.

    Raises:
        ConfigError: It is none. What was given is not repeated.
    """
    token = "".join(text.split())
    if not _VISIBLE.fullmatch(token):
        raise ConfigError(f"{origin} holds no token", hint="copy it from the portal once more")
    return SecretStr(token)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            return file.read(_LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "holds no token"
        raise ConfigError(f"{path}: {reason}", setting="token_file") from error
