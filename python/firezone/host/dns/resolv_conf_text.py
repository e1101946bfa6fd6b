"""The text of a resolv.conf: ours made from another's, and another's got back from an edited one.

Lines are kept as they are, whatever is in them; only those that say who answers, and which suffixes
are tried, are replaced (resolv.conf(5)).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from firezone.host.plan import SENTINEL_NETWORKS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MARKER",
    "has_sentinel",
    "is_ours",
    "is_sentinel",
    "nameservers",
    "original_of",
    "rewrite",
]

MARKER: Final = "# BEGIN Firezone DNS configuration"
_DOTS: Final = "options ndots:1"


def nameservers(text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """Return the servers that a text names, in order; what is no address is passed over."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if _keyword(line) == "nameserver" and len(words) > 1:
            try:
                found.append(ip_address(words[1]))
            except ValueError:
                continue
    return tuple(found)


def is_sentinel(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the Client answers at this address."""
    return any(address in network for network in SENTINEL_NETWORKS)


def has_sentinel(text: str) -> bool:
    """Return whether a text names an address of ours."""
    return any(map(is_sentinel, nameservers(text)))


def is_ours(text: str) -> bool:
    """Return whether a text begins with our mark."""
    return text.splitlines()[:1] == [MARKER]


def rewrite(
    original: str,
    sentinels: Sequence[IPv4Address | IPv6Address],
    search_domains: Sequence[str],
    backup: str,
) -> str:
    """Return our text: the original's with other servers and suffixes, without its comments.

    Args:
        original: What is there.
        sentinels: Who is to answer.
        search_domains: Suffixes to try; none leaves the original's.
        backup: Where the original is kept; for a reader.
    """
    replaced = {"nameserver"} | ({"search", "domain"} if search_domains else set())
    kept = [
        line
        for line in map(_without_dots, original.splitlines())
        if _keyword(line) is not None and _keyword(line) not in replaced
    ]
    lines = [
        MARKER,
        "#",
        "# Names are answered by the Firezone Client while it runs. What stood here",
        f"# before is in {backup}",
        "# and returns when the Client ends. After a crash: firezone host cleanup",
        "#",
        *(f"nameserver {address}" for address in sentinels),
        *([f"search {' '.join(search_domains)}"] if search_domains else []),
        *kept,
        _DOTS,
    ]
    return "".join(f"{line}\n" for line in lines)


def original_of(current: str, original: str, ours: str, earlier: str | None = None) -> str:
    """Return what the original becomes with the edits that were made to our text.

    Args:
        current: What is there now.
        original: What our text was made from.
        ours: Our text.
        earlier: A text of ours that was there before.

    Returns:
        The original, if nothing was edited. What is there, if it is not ours any more: it names no
        address of ours. Else the original without the lines that were taken away and with those
        that were added, of which none names an address of ours.
    """
    # Who is killed while it writes leaves blank lines at the end.
    if current.rstrip("\n") in {text.rstrip("\n") for text in (original, ours, earlier or ours)}:
        return original
    if not has_sentinel(current) and not is_ours(current):
        return current
    there, written = current.splitlines(), ours.splitlines()
    removed = set(written) - set(there)
    added = [line for line in there if line not in written and not has_sentinel(line)]
    if not added and not removed & set(original.splitlines()):
        return original
    kept = [line for line in original.splitlines() if line not in removed]
    return "".join(f"{line}\n" for line in [*kept, *added])


def _keyword(line: str) -> str | None:
    """Return the keyword of a line; None for comments and what resolvers pass over."""
    if not line or line[0].isspace() or line[0] in "#;":
        return None
    return line.split(maxsplit=1)[0]


def _without_dots(line: str) -> str:
    """Return a line without the option that says how many dots make a name complete."""
    words = line.split()
    if _keyword(line) != "options" or not any(word.startswith("ndots:") for word in words):
        return line
    rest = [word for word in words[1:] if not word.startswith("ndots:")]
    return " ".join(["options", *rest]) if rest else ""
