"""What both sides must agree on without having met: ids and tunnel addresses.

Ids are UUIDs of version 5 over a public key or a resource's address, tunnel addresses are taken
from a hash of the public key. So a file names keys and addresses, and nothing else needs to match.
"""

from __future__ import annotations

import hashlib
import uuid
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

__all__ = ["Addresses", "peer_id", "resource_id", "tunnel_addresses"]

Addresses: TypeAlias = tuple[IPv4Address, IPv6Address]

_NAMESPACE: Final = uuid.UUID("7d0c2b1e-5d6f-5c1a-9d83-2f7c0f2a4b11")
_IPV4: Final = IPv4Network("100.64.0.0/11")
_IPV6: Final = IPv6Network("fd00:2021:1111::/107")
_LAST: Final = 2**21 - 1
"""Number of the last address of both ranges; it and the first are nobody's."""


def peer_id(public_key: str) -> str:
    """Return the id of the Client or Gateway with a public key (base64)."""
    return str(uuid.uuid5(_NAMESPACE, f"peer:{public_key}"))


def resource_id(kind: str, address: str) -> str:
    """Return the id of a resource.

    Args:
        kind: `dns`, `cidr` or `internet`.
        address: Its pattern or network, empty for the internet; both sides must write the same.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{kind}:{address.lower()}"))


def tunnel_addresses(public_key: str) -> Addresses:
    """Return the tunnel addresses of the peer with a public key, of dataplane's two ranges."""
    digest = hashlib.blake2s(public_key.encode(), person=b"fz-addr").digest()
    number = 1 + int.from_bytes(digest[:8]) % (_LAST - 1)
    return _IPV4[number], _IPV6[number]
