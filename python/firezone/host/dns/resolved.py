"""Answering by systemd-resolved: the TUN device is given servers, which vanish with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firezone.errors import ConfigError, FirezoneError, NeedsPrivilege
from firezone.host import programs
from firezone.host.journal import ResolvedSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from firezone.host.journal import Journal

__all__ = ["ResolvedControl", "commands", "revert"]

_OTHER_WAY: Final = "set FIREZONE_DNS_CONTROL=etc-resolv-conf, or start systemd-resolved"
_RIGHT: Final = (
    "run the Client as root, or let polkit allow it: firezone client enable-service does so"
)
_EVERYTHING: Final = "~."
"""All names are below the root; the ~ says that it is no suffix to try."""


def commands(
    tun: str,
    sentinels: Sequence[IPv4Address | IPv6Address],
    search_domains: Sequence[str],
    *,
    match_all: bool,
) -> list[list[str]]:
    """Return the programs to run, in order."""
    domains = [*search_domains, *([_EVERYTHING] if match_all else [])]
    return [
        ["resolvectl", "dns", tun, *map(str, sentinels)],
        ["resolvectl", "domain", tun, *(domains or [""])],
        # For names without a dot, which are the Client's to answer like any other.
        ["resolvectl", "llmnr", tun, "true"],
    ]


class ResolvedControl:
    """Tells systemd-resolved.

    Args:
        journal: Where changes are written down.
        log: Where events go.
        path: The file that programs read; it should lead to systemd-resolved.
    """

    def __init__(self, journal: Journal, *, log: FilteringBoundLogger, path: Path) -> None:
        self._journal = journal
        self._log = log
        self._path = path
        self._is_warned = False

    def apply(
        self,
        *,
        tun: str,
        sentinels: Sequence[IPv4Address | IPv6Address],
        search_domains: Sequence[str] = (),
        match_all: bool = True,
    ) -> None:
        """Give the device its servers; if that fails halfway it has none."""
        if not sentinels:
            return
        self._journal.record(ResolvedSet(tun))
        try:
            for command in commands(tun, sentinels, search_domains, match_all=match_all):
                programs.run(command, hint=_OTHER_WAY)
        except ConfigError as error:
            self._journal.forget(ResolvedSet(tun))
            raise ConfigError(str(error), setting="dns_control", hint=_OTHER_WAY) from error
        except NeedsPrivilege as error:
            self.revert()
            raise NeedsPrivilege(str(error), hint=_RIGHT) from error
        except FirezoneError:
            self.revert()
            raise
        self._warn_if_nobody_asks()

    def revert(self) -> None:
        """Take the servers from the devices that were given some."""
        for step in self._journal.steps:
            if isinstance(step, ResolvedSet):
                revert(step.device, self._log)
                self._journal.forget(step)

    def flush(self) -> None:
        """Make systemd-resolved forget its answers."""
        try:
            programs.run(["resolvectl", "flush-caches"])
        except FirezoneError as error:
            self._log.warning("answers may be old", event_name="dns.flush", error=str(error))

    def check(self) -> None:
        """Do nothing: what a device was given is changed by nobody else."""

    def _warn_if_nobody_asks(self) -> None:
        """Say so if this host's programs ask somebody else."""
        if self._is_warned:
            return
        self._is_warned = True
        try:
            text = self._path.read_text(errors="replace")
        except OSError:
            text = ""
        if "127.0.0.53" not in text and "/systemd/resolve/" not in str(self._path.resolve()):
            self._log.warning(
                "resolv.conf does not lead to systemd-resolved: programs may not ask it",
                event_name="dns.resolved.bypassed",
                path=str(self._path),
                hint=f"ln -sf ../run/systemd/resolve/stub-resolv.conf {self._path}",
            )


def revert(device: str, log: FilteringBoundLogger) -> None:
    """Take the servers from a device; one that is gone has none, nor has a service that ended."""
    try:
        programs.run(["resolvectl", "revert", device])
    except FirezoneError as error:
        log.debug("nothing to revert", event_name="dns.resolved.revert", error=str(error))
