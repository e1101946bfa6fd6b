"""Values below /proc/sys: set, and set back to what they were.

Turning forwarding on makes the kernel change other values too: the same of every interface, and
whether redirects are accepted. Those are written down with it, since turning it off again does not
bring them back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from firezone.errors import NeedsPrivilege

from .journal import SysctlChanged
from .plan import ClientNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .plan import Family, Plan

__all__ = ["ROOT", "Sysctl", "no_link_local", "wanted_values"]

ROOT: Final = Path("/proc/sys")

_SEND_BUFFER: Final = 2 * 2**20
_RECEIVE_BUFFER: Final = 16 * 2**20
"""Bytes of our sockets' buffers, which the kernel's limits must allow."""
_LIMITS: Final = {"net/core/rmem_max": _RECEIVE_BUFFER, "net/core/wmem_max": _SEND_BUFFER}

_FORWARD4: Final = "net/ipv4/ip_forward"
_FORWARD6: Final = "net/ipv6/conf/all/forwarding"
_ON: Final = "1"
_EVEN_WHEN_FORWARDING: Final = "2"
_NO_ADDRESS: Final = "1"


class Sysctl:
    """Reads and writes values.

    Args:
        root: Where they are.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def get(self, key: str) -> str | None:
        """Return a value; None if this kernel has not got it."""
        try:
            return (self._root / key).read_text().strip()
        except OSError:
            return None

    def set(self, key: str, value: str) -> None:
        """Set a value; one that is gone with its interface is not missed.

        Raises:
            NeedsPrivilege: The kernel does not allow it.
        """
        try:
            (self._root / key).write_text(value)
        except FileNotFoundError:
            return
        except OSError as error:
            name = key.replace("/", ".")
            raise NeedsPrivilege(
                f"{name} cannot be set to {value}: {error.strerror}",
                hint=f"run it as root, or set it yourself: sysctl -w {name}={value}",
            ) from error

    def is_writable(self, key: str) -> bool:
        """Return whether the value belongs to this network namespace, or is the whole system's."""
        try:
            return bool((self._root / key).stat().st_mode & 0o200)
        except OSError:
            return False

    def step(self, key: str, value: str) -> SysctlChanged | None:
        """Return the step that sets a value; None if it has it, or there is no such value."""
        before = self.get(key)
        if before is None or before == value:
            return None
        return SysctlChanged(key, before, value, self._changed_with(key))

    def undo(self, step: SysctlChanged) -> None:
        """Set a value back, and what changed with it; what others changed since stays."""
        now = {key: self.get(key) for key in step.also}
        if self.get(step.key) == step.value:
            self.set(step.key, step.before)
        for key, (before, becomes) in step.also.items():
            value = before if now[key] == becomes else now[key]
            if value is not None and self.get(key) not in (None, value):
                self.set(key, value)

    def raised_limits(self) -> dict[str, str]:
        """Return the limits of socket buffers that are too low and may be raised."""
        low = {}
        for key, bytes_ in _LIMITS.items():
            now = self.get(key)
            if now is not None and int(now) < bytes_ and self.is_writable(key):
                low[key] = str(bytes_)
        return low

    def forwarding_values(self, family: Family) -> dict[str, str]:
        """Return what makes the host forward packets of a family.

        An interface that learns its IPv6 routes from a router would stop to when the host forwards,
        and so lose them; such ones go on.
        """
        if family == 4:  # noqa: PLR2004
            return {_FORWARD4: _ON, "net/ipv4/conf/all/src_valid_mark": _ON}
        learning = {
            f"net/ipv6/conf/{name}/accept_ra": _EVEN_WHEN_FORWARDING
            for name in self._interfaces("ipv6")
            if self.get(f"net/ipv6/conf/{name}/accept_ra") == _ON
            and self.get(f"net/ipv6/conf/{name}/forwarding") != _ON
        }
        return {**learning, _FORWARD6: _ON, "net/ipv6/conf/default/forwarding": _ON}

    def _changed_with(self, key: str) -> dict[str, list[str]]:
        """Return what the kernel changes when a value becomes 1: key to what it is and becomes."""
        if key == _FORWARD4:
            also = {f"net/ipv4/conf/{name}/forwarding": _ON for name in self._interfaces("ipv4")}
            # The name does not come first in the kernel's mind: `all` is the value itself.
            also.pop("net/ipv4/conf/all/forwarding", None)
            also["net/ipv4/conf/all/accept_redirects"] = "0"
        elif key == _FORWARD6:
            also = {f"net/ipv6/conf/{name}/forwarding": _ON for name in self._interfaces("ipv6")}
            also.pop(_FORWARD6, None)
        else:
            return {}
        values = {name: self.get(name) for name in also}
        return {name: [before, also[name]] for name, before in values.items() if before is not None}

    def _interfaces(self, family: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._root / "net" / family / "conf").iterdir())
        except OSError:
            return []


def wanted_values(plan: Plan, families: frozenset[Family], sysctl: Sysctl) -> Mapping[str, str]:
    """Return the values that a plan wants, in the order in which they are set."""
    values: dict[str, str] = {}
    if plan.socket_buffers:
        values |= sysctl.raised_limits()
    if not isinstance(plan, ClientNetwork):
        for family in sorted(families):
            values |= sysctl.forwarding_values(family)
    return values


def no_link_local(tun: str, sysctl: Sysctl) -> None:
    """Let the kernel give our device no link-local address, which nobody could be reached at.

    It is the device's own and goes with it. Setting it back would bring such an address up.
    """
    sysctl.set(f"net/ipv6/conf/{tun}/addr_gen_mode", _NO_ADDRESS)
