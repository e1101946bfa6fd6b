"""The three ways to become who answers this host's queries, and which one is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from structlog.typing import FilteringBoundLogger

    from firezone.host.journal import Journal

__all__ = [
    "BACKUP",
    "RESOLV_CONF",
    "Disabled",
    "DnsControl",
    "Method",
    "dns_control",
    "revert_others",
]

Method: TypeAlias = Literal["systemd-resolved", "etc-resolv-conf", "disabled"]

RESOLV_CONF: Final = Path("/etc/resolv.conf")
BACKUP: Final = Path("/etc/resolv.conf.before-firezone")


class DnsControl(Protocol):
    """Makes the Client the one who answers, and takes that back."""

    def apply(
        self,
        *,
        tun: str,
        sentinels: Sequence[IPv4Address | IPv6Address],
        search_domains: Sequence[str] = (),
        match_all: bool = True,
    ) -> None:
        """Make programs ask the sentinels; a second time, or with others, is fine.

        Args:
            tun: The TUN device behind which they are.
            sentinels: Addresses at which the Client answers; none changes nothing.
            search_domains: Suffixes that programs try.
            match_all: Whether all names are asked there, not only those below `search_domains`.

        Raises:
            ConfigError: The host does not work this way; the hint names a way that may.
            NeedsPrivilege: It is not allowed.
        """
        ...

    def revert(self) -> None:
        """Let those answer who did before."""
        ...

    def flush(self) -> None:
        """Make the host forget answers that it keeps."""
        ...

    def check(self) -> None:
        """Look whether somebody else changed what was applied; `SystemResolvers.watch` calls it."""
        ...


class Disabled:
    """Leaves the host alone: whoever wants an answer asks the sentinels."""

    def apply(
        self,
        *,
        tun: str,
        sentinels: Sequence[IPv4Address | IPv6Address],
        search_domains: Sequence[str] = (),
        match_all: bool = True,
    ) -> None:
        """Do nothing."""

    def revert(self) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing."""


def dns_control(
    method: Method,
    journal: Journal,
    *,
    log: FilteringBoundLogger,
    path: Path = RESOLV_CONF,
    backup: Path = BACKUP,
) -> DnsControl:
    """Return the way of a setting, `FIREZONE_DNS_CONTROL`.

    Args:
        method: The setting.
        journal: Where changes are written down.
        log: Where events go.
        path: The file that programs read.
        backup: Where a copy of it is kept.
    """
    match method:
        case "systemd-resolved":
            from .resolved import ResolvedControl  # noqa: PLC0415 - they know this module

            return ResolvedControl(journal, log=log, path=path)
        case "etc-resolv-conf":
            from .resolv_conf import ResolvConfControl  # noqa: PLC0415

            return ResolvConfControl(journal, log=log, path=path, backup=backup)
        case "disabled":
            return Disabled()


def revert_others(method: Method, journal: Journal, *, log: FilteringBoundLogger) -> None:
    """Take back what a former process did in another way than this one's.

    Args:
        method: The setting of this process.
        journal: Where the former one wrote it down.
        log: Where events go.
    """
    others: tuple[Method, ...] = ("systemd-resolved", "etc-resolv-conf")
    for other in others:
        if other != method:
            dns_control(other, journal, log=log).revert()
