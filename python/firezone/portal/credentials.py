"""Tokens and passwords: how they are made, and what is kept of them.

A token is 32 random bytes, so its SHA-256 tells nothing and a look-up by it has no timing to learn
from. A password is a person's, so it is hashed with argon2id (RFC 9106).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .model import TokenKind

__all__ = ["digest", "hash_password", "new_token", "password_matches"]

_PREFIX: Final = "fz"
LONGEST_TOKEN: Final = 1024
LONGEST_PASSWORD: Final = 1024


def new_token(kind: TokenKind) -> str:
    """Return a new token; its prefix tells people alone what it is for."""
    return f"{_PREFIX}{kind.value[0]}_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """Return what is kept of a token; whitespace does not count (signaling §2.3)."""
    return hashlib.sha256("".join(token.split()).encode(errors="replace")).hexdigest()


def hash_password(password: str) -> str:
    """Return what is kept of a password; takes some ten milliseconds and 64 MiB by design."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - only who signs in needs it

    return PasswordHasher().hash(password)


def password_matches(kept: str, password: str) -> bool:
    """Tell whether a password is the one that was hashed."""
    from argon2 import PasswordHasher  # noqa: PLC0415
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    try:
        return PasswordHasher().verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
