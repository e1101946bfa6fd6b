"""Brings a Linux host to a plan and back."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from firezone.errors import FirezoneError

from . import undo as undoing
from .journal import (
    AddressAdded,
    AddressRemoved,
    LinkChanged,
    RouteAdded,
    RuleAdded,
    TableMade,
)
from .netlink import Netlink
from .nftables import Nftables, ruleset, table_name
from .plan import ClientNetwork, Route, Rule, Table, attached_copies
from .privilege import require_net_admin
from .sysctl import Sysctl, no_link_local, wanted_values
from .watch import Seen, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from structlog.typing import FilteringBoundLogger

    from .journal import Journal, Step
    from .netlink import Link
    from .plan import Family, Plan, Wanted
    from .watch import Change

__all__ = ["LinuxHost"]

T = TypeVar("T", Route, Rule)

_TABLES = (Table.TUNNELLED, Table.ATTACHED, Table.EVERYTHING)


class LinuxHost:
    """A host; what an earlier process of the role left on it is undone first, or taken over.

    Args:
        journal: Where steps are written down before they are taken.
        log: Where events go.
        netlink: Opens a session with the kernel.
        nftables: Carries rule sets out.
        sysctl: Reads and writes values below /proc/sys.
        takes_over: Whether what was left stays until `apply` brings it to its plan: in between,
            packets of flows that are under way go on being translated. `undo` still leads back to
            what was before the first process.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        log: FilteringBoundLogger,
        netlink: type[Netlink] = Netlink,
        nftables: Nftables | None = None,
        sysctl: Sysctl | None = None,
        takes_over: bool = False,
    ) -> None:
        self._journal = journal
        self._log = log
        self._open = netlink
        self._nftables = nftables or Nftables()
        self._sysctl = sysctl or Sysctl()
        self._plan: Plan | None = None
        self._index = 0
        self._listing: tuple[str, str] | None = None
        """The rule set that was carried out last, and how nft shows it."""
        self._turn = threading.Lock()
        """Held by whoever changes the host: `watch` does so on another thread."""
        self.families: frozenset[Family] = frozenset()
        """Those that the TUN device has an address of, since the last `apply`."""
        if journal.steps and takes_over and journal.is_of_this_network:
            log.warning(
                "what an earlier process left on this host is taken over",
                event_name="host.taken-over",
                steps=len(journal.steps),
            )
        elif journal.steps:
            log.warning(
                "what an earlier process left on this host is undone",
                event_name="host.recovered",
                steps=len(journal.steps),
            )
            self.undo()

    def apply(self, plan: Plan) -> None:
        """Bring the host from whatever it is to the plan; what is right already is not touched.

        Raises:
            NeedsPrivilege: CAP_NET_ADMIN is missing.
            FirezoneError: The TUN device is not there, or the kernel refuses; what was done is in
                the journal, and `undo` takes it back.
        """
        require_net_admin("setting up addresses, routes and packet filters")
        with self._turn, self._open() as netlink:
            device = netlink.link(plan.tun)
            if device is None:
                raise FirezoneError(
                    f"there is no network device {plan.tun}",
                    hint="whoever held it has ended, or somebody deleted it: start again",
                )
            families = self._families(plan)
            self._make_table(plan, families)
            self._set_values(plan, families)
            wanted = plan.wanted(families, _attached(netlink, plan))
            self._set_link(netlink, device, plan)
            self._set_addresses(netlink, device, wanted)
            self._set_routes(netlink, plan, wanted)
            is_new, self._plan, self._index = plan != self._plan, plan, device.index
            self.families = families
        if is_new:
            self._log.info(
                "host is set up", event_name="host.applied", tun=plan.tun, routes=len(wanted.routes)
            )

    def change(self, plan: Plan) -> None:
        """Bring the host to another plan; where that fails it keeps the one that it has.

        Raises:
            NeedsPrivilege: As `apply`.
            FirezoneError: The same; what was done of the new plan is taken back, as far as the
                kernel lets it.
        """
        former = self._plan
        try:
            self.apply(plan)
        except FirezoneError:
            if former is not None:
                with contextlib.suppress(FirezoneError):
                    self.apply(former)
            raise

    def undo(self) -> None:
        """Take back all that the journal tells; the host is as it was before.

        Raises:
            FirezoneError: A part of it cannot be taken back; the rest is.
        """
        with self._turn:
            self._plan, self._listing = None, None
            undone = undoing.undo(
                self._journal,
                self._log,
                netlink=self._open,
                nftables=self._nftables,
                sysctl=self._sysctl,
            )
        if undone:
            self._log.info("host is as it was", event_name="host.undone", steps=len(undone))

    async def watch(self, on_change: Callable[[Change], None]) -> None:
        """Call back when the host's network changes, until cancelled.

        Routes and rules of ours that went, or copies of routes that changed, are put right first.
        """
        await watch(self._look, on_change, self._log)

    def _look(self) -> Seen:
        """Put routes and rules right; return what there is of our device and of others."""
        with self._turn, self._open() as netlink:
            tun = self._plan.tun if self._plan is not None else ""
            links = netlink.links()
            defaults = frozenset(netlink.default_routes(but=tun))
            running = frozenset(n for n, link in links.items() if link.is_running and n != tun)
            index = links[tun].index if tun in links else 0
            # A device that was made anew is not ours before `apply` has seen it.
            if self._plan is not None and index and index == self._index:
                families = frozenset(self.families)
                wanted = self._plan.wanted(families, _attached(netlink, self._plan))
                if self._set_routes(netlink, self._plan, wanted):
                    self._log.info("routes were put right", event_name="host.routes.repaired")
        return Seen(index, running, defaults)

    def _families(self, plan: Plan) -> frozenset[Family]:
        """Return the families of the plan that the host has."""
        found: set[Family] = {4} if plan.ipv4 is not None else set()
        if plan.ipv6 is not None:
            disabled = self._sysctl.get(f"net/ipv6/conf/{plan.tun}/disable_ipv6")
            if disabled == "0":
                found.add(6)
            elif plan != self._plan:
                self._log.warning(
                    "IPv6 is off on this host; the tunnel goes without",
                    event_name="host.no_ipv6",
                    hint="sysctl -w net.ipv6.conf.all.disable_ipv6=0 turns it on",
                )
        if not found:
            raise FirezoneError(
                f"{plan.tun} has an IPv6 address alone, and IPv6 is off on this host",
                hint="turn it on: sysctl -w net.ipv6.conf.all.disable_ipv6=0",
            )
        return frozenset(found)

    def _make_table(self, plan: Plan, families: frozenset[Family]) -> None:
        """Make our table, unless it stands as we made it."""
        text, name = ruleset(plan, families), table_name(plan)
        if self._listing is not None and self._listing[0] == text:
            if self._nftables.listing(name) == self._listing[1]:
                return
            self._log.warning(
                "our packet filter was changed; it is made anew", event_name="host.nft"
            )
        self._journal.record(TableMade(name))
        self._nftables.apply(text)
        self._listing = (text, self._nftables.listing(name) or "")
        dropping = self._nftables.dropping_chains() if not isinstance(plan, ClientNetwork) else []
        if dropping:
            self._log.warning(
                "another packet filter drops forwarded packets; ours cannot overrule it",
                event_name="host.forward.dropped",
                chains=dropping,
                hint=f"accept packets from and to {plan.tun} there",
            )

    def _set_values(self, plan: Plan, families: frozenset[Family]) -> None:
        for key, value in wanted_values(plan, families, self._sysctl).items():
            step = self._sysctl.step(key, value)
            if step is not None:
                self._journal.record(step)
                self._sysctl.set(key, value)

    def _set_link(self, netlink: Netlink, device: Link, plan: Plan) -> None:
        if device.mtu == plan.mtu and device.is_up:
            return
        ours = [
            s for s in self._journal.steps if isinstance(s, LinkChanged) and s.device == device.name
        ]
        before = ours[0] if ours else LinkChanged(device.name, device.mtu, plan.mtu, device.is_up)
        now = LinkChanged(device.name, before.mtu_before, plan.mtu, before.was_up)
        self._journal.replace(ours, [now])
        no_link_local(device.name, self._sysctl)
        netlink.set_mtu(device, plan.mtu)
        netlink.set_up(device, up=True)

    def _set_addresses(self, netlink: Netlink, device: Link, wanted: Wanted) -> None:
        """Give the device its addresses and take all others: who holds an old one is nobody."""
        present = netlink.addresses(device)
        for address in sorted(present - wanted.addresses, key=str):
            ours = AddressAdded(device.name, str(address))
            if ours not in self._journal.steps:
                self._journal.record(AddressRemoved(device.name, str(address)))
            netlink.remove_address(device, address)
            self._journal.forget(ours)
        for address in sorted(wanted.addresses - present, key=str):
            self._journal.record(AddressAdded(device.name, str(address)))
            netlink.add_address(device, address)

    def _set_routes(self, netlink: Netlink, plan: Plan, wanted: Wanted) -> bool:
        """Bring routes and rules to what is wanted; return whether anything changed.

        Rules come after the routes that they lead to, and go before them.
        """
        present_routes = netlink.routes(_TABLES)
        present_rules = netlink.rules()
        old_rules = self._ours(present_rules - wanted.rules, RuleAdded)
        for rule in old_rules:
            netlink.remove_rule(rule)
        # A route over our device in a table of ours is nobody else's, written down or not.
        stray = {route for route in present_routes if route.device == plan.tun}
        old_routes = (stray | self._ours(present_routes, RouteAdded)) - wanted.routes
        links = netlink.links()
        for route in old_routes:
            netlink.remove_route(links[route.device], route)
        new_routes = sorted(wanted.routes - present_routes)
        new_rules = sorted(wanted.rules - present_rules)
        kept: list[Route | Rule] = [*(present_routes - old_routes), *(present_rules - old_rules)]
        self._write_down(kept, new_routes, new_rules)
        for route in new_routes:
            if route.device in links:
                netlink.add_route(links[route.device], route)
        for rule in new_rules:
            netlink.add_rule(rule)
        return bool(old_rules or old_routes or new_routes or new_rules)

    def _ours(self, present: AbstractSet[T], kind: type[RouteAdded | RuleAdded]) -> set[T]:
        """Return those that the journal tells of."""
        steps = set(self._journal.steps)
        return {each for each in present if kind(**asdict(each)) in steps}

    def _write_down(
        self,
        kept: Iterable[Route | Rule],
        new_routes: Iterable[Route],
        new_rules: Iterable[Rule],
    ) -> None:
        """Strike the steps of what is gone, and write down what is about to come."""
        standing = {_step(each) for each in kept}
        gone = [
            step
            for step in self._journal.steps
            if isinstance(step, RouteAdded | RuleAdded) and step not in standing
        ]
        self._journal.replace(gone, [*map(_step, new_routes), *map(_step, new_rules)])


def _step(each: Route | Rule) -> Step:
    return RouteAdded(**asdict(each)) if isinstance(each, Route) else RuleAdded(**asdict(each))


def _attached(netlink: Netlink, plan: Plan) -> frozenset[Route]:
    """Return copies of the routes to attached networks, if the plan needs them."""
    if not isinstance(plan, ClientNetwork) or not plan.internet_resource:
        return frozenset()
    running = frozenset(name for name, link in netlink.links().items() if link.is_running)
    return attached_copies(netlink.attached(), running, plan.tun)
