"""The addresses of this host, as the kernel lists them: a start has no time for more (R38)."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

__all__ = ["own_addresses"]

_LOCAL: Final = re.compile(r"\|-- (\S+)\n(?:\s+/\d+ .*\n)*?\s+/32 host LOCAL")


def own_addresses(folder: Path = Path("/proc/net")) -> list[str]:
    """Return all addresses that are this host's own, in this network namespace.

    Args:
        folder: Where the kernel lists them; a family that it has not is not there.
    """
    found = set(_LOCAL.findall(_text(folder / "fib_trie")))
    for line in _text(folder / "if_inet6").splitlines():
        found.add(str(IPv6Address(bytes.fromhex(line.split(maxsplit=1)[0]))))
    return sorted(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
