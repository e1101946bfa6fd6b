"""Takes back what a journal tells, last step first; each step is struck when it is undone."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from firezone.errors import FirezoneError

from .dns import resolv_conf, resolved
from .journal import (
    AddressAdded,
    AddressRemoved,
    LinkChanged,
    ResolvConfWritten,
    ResolvedSet,
    RouteAdded,
    RuleAdded,
    SysctlChanged,
    TableMade,
)
from .netlink import Netlink
from .nftables import Nftables
from .plan import Route, Rule
from .sysctl import Sysctl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

    from .journal import Journal, Step

__all__ = ["undo"]

_OF_FILES = (ResolvConfWritten,)
"""Steps that outlive the machine's end; all others are the kernel's, or a service's."""


def undo(
    journal: Journal,
    log: FilteringBoundLogger,
    *,
    netlink: type[Netlink] = Netlink,
    nftables: Nftables | None = None,
    sysctl: Sysctl | None = None,
) -> list[Step]:
    """Take back every step of a journal.

    Steps of an earlier boot are gone by themselves, but for files; so are those of a network
    namespace that is not this one, which nobody can reach from here.

    Returns:
        What was taken back.

    Raises:
        FirezoneError: A step cannot be taken back; the others are.
    """
    steps = journal.steps
    if not steps:
        return []
    void = () if journal.is_of_this_network else _of_the_kernel(steps)
    if void:
        log.warning(
            "steps of another boot or network namespace are left alone",
            event_name="host.undo.void",
            steps=len(void),
        )
        journal.forget(*void)
    reversed_steps = [step for step in reversed(steps) if step not in void]
    failures: list[FirezoneError] = []
    with netlink() as session:
        undoing = _Undoing(session, nftables or Nftables(), sysctl or Sysctl(), log)
        for step in reversed_steps:
            try:
                undoing.step(step)
            except FirezoneError as error:
                failures.append(error)
            else:
                journal.forget(step)
    if failures:
        raise failures[0]
    return reversed_steps


def _of_the_kernel(steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(step for step in steps if not isinstance(step, _OF_FILES))


class _Undoing:
    """Undoes single steps."""

    def __init__(
        self, netlink: Netlink, nftables: Nftables, sysctl: Sysctl, log: FilteringBoundLogger
    ) -> None:
        self._netlink = netlink
        self._nftables = nftables
        self._sysctl = sysctl
        self._log = log

    def step(self, step: Step) -> None:
        """Undo one; what is undone already, or was never done, is left."""
        match step:
            case RuleAdded():
                self._netlink.remove_rule(Rule(**asdict(step)))
            case TableMade():
                self._nftables.remove(step.name)
            case SysctlChanged():
                self._sysctl.undo(step)
            case ResolvConfWritten():
                resolv_conf.restore(step, self._log)
            case ResolvedSet():
                resolved.revert(step.device, self._log)
            case _:
                self._of_a_device(step)

    def _of_a_device(self, step: AddressAdded | AddressRemoved | LinkChanged | RouteAdded) -> None:
        """Undo what went with its device, if that is gone."""
        device = self._netlink.link(step.device)
        if device is None:
            return
        match step:
            case AddressAdded():
                self._netlink.remove_address(device, ip_interface(step.address))
            case AddressRemoved():
                self._netlink.add_address(device, ip_interface(step.address))
            case RouteAdded():
                self._netlink.remove_route(device, Route(**asdict(step)))
            case LinkChanged():
                if not step.was_up:
                    self._netlink.set_up(device, up=False)
                if device.mtu == step.mtu:
                    self._netlink.set_mtu(device, step.mtu_before)
