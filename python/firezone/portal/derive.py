"""Keys and credentials that follow from what is stored (signaling §9.3, §9.4, §10.1, §10.2).

They must not change while the keys of both sides do not: Client and Gateway keep a tunnel only if
the preshared key and the ICE credentials of a further authorization are the same (§10.3).
"""

from __future__ import annotations

import hashlib
import uuid
from base64 import b32encode, b64encode
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "GATEWAY_TURN_EXPIRY",
    "IceCredentials",
    "Side",
    "TurnCredentials",
    "ice_credentials",
    "preshared_key",
    "relay_id",
    "turn_credentials",
]

GATEWAY_TURN_EXPIRY: Final = 2145916800
"""2038-01-01: a Gateway's TURN credentials end there, so that they are always the same (§8.3)."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a tunnel in a session.

    Args:
        id: The device's id.
        public_key: Of the session, base64.
        psk_base: The device's secret; 32 bytes.
    """

    id: str
    public_key: str
    psk_base: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """What one side of ICE signs its checks with.

    Args:
        username: Four characters.
        password: 22 characters.
    """

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """What a peer shows to a relay; realm `firezone`.

    Args:
        username: Expiry and salt.
        password: What the relay computes as well.
        expires_at: Seconds since 1970.
    """

    username: str
    password: str = field(repr=False)
    expires_at: int


def relay_id(stamp_secret: str) -> str:
    """Return the id of the relay with a stamp secret (§9.3)."""
    digest = hashlib.sha256(stamp_secret.encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def turn_credentials(stamp_secret: str, public_key: str, expires_at: int) -> TurnCredentials:
    """Return a peer's credentials at a relay (§9.4).

    Args:
        stamp_secret: The relay's, as it sent it.
        public_key: The peer's, base64.
        expires_at: When they end.
    """
    salt = _base64(hashlib.sha256(public_key.encode()).digest())
    return TurnCredentials(
        username=f"{expires_at}:{salt}",
        password=turn_password(stamp_secret, expires_at, salt),
        expires_at=expires_at,
    )


def turn_password(stamp_secret: str, expires_at: int, salt: str) -> str:
    """Return the password for an expiry and a salt (§9.4)."""
    return _base64(hashlib.sha256(f"{expires_at}:{stamp_secret}:{salt}".encode()).digest())


def preshared_key(client: Side, gateway: Side) -> str:
    """Return the preshared key of a tunnel, base64 (§10.1)."""
    salt = (
        f"WG_PSK|C_ID:{client.id}|G_ID:{gateway.id}"
        f"|C_PK:{client.public_key}|G_PK:{gateway.public_key}"
    )
    secret = client.psk_base + gateway.psk_base
    # The inputs are random and long: one iteration is what the specification says.
    key = hashlib.pbkdf2_hmac("sha256", secret, salt.encode(), iterations=1, dklen=32)
    return b64encode(key).decode()


def ice_credentials(client: Side, gateway: Side) -> tuple[IceCredentials, IceCredentials]:
    """Return the credentials of the Client and of the Gateway (§10.2)."""
    text = f"{client.id}:{client.public_key}:{gateway.id}:{gateway.public_key}"
    digest = b32encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=").lower()
    return (
        IceCredentials(digest[0:4], digest[4:26]),
        IceCredentials(digest[26:30], digest[30:52]),
    )


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode().rstrip("=")
