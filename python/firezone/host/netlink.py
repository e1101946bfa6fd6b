"""Links, addresses, routes and rules of the kernel, read and changed over netlink.

What is there already is not added, and what is gone is not missed: adding and removing say whether
something changed. pyroute2 drives a loop of its own, which cannot run inside another one, so a
session has a thread; it stays in the network namespace of the thread that opened it.
"""

from __future__ import annotations

import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from firezone.errors import FirezoneError, NeedsPrivilege
from firezone.thread_names import name_thread

from .plan import SCOPE_LINK, SCOPE_UNIVERSE, Route, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from .plan import Family, Interface

__all__ = ["Link", "Netlink", "subscribe"]

T = TypeVar("T")

_FAMILIES: Final[dict[Family, int]] = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOL_KERNEL: Final = 2
_PROTOCOL_STATIC: Final = 4
_TABLE_MAIN: Final = 254
_RULE_INVERTED: Final = 2
_UNICAST: Final = 1
_UP: Final = 1
_RUNNING: Final = 0x40
_ALL_BITS: Final = 0xFFFFFFFF
_THERE: Final = frozenset({errno.EEXIST})
_GONE: Final = frozenset(
    {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)
# links, addresses and routes of both families, rules of both families
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000


@dataclass(frozen=True)
class Link:
    """An interface.

    Args:
        index: The kernel's number of it.
        name: Its name.
        mtu: Bytes of its largest packet.
        is_up: Whether it is set up.
        is_running: Whether it is operational, too.
    """

    index: int
    name: str
    mtu: int
    is_up: bool
    is_running: bool


class Netlink:
    """A session; used in a `with` statement.

    Raises:
        NeedsPrivilege: Of all that change something: CAP_NET_ADMIN is missing.
        FirezoneError: The kernel refused.
    """

    def __init__(self) -> None:
        name = "fz-netlink"
        self._thread = ThreadPoolExecutor(1, name, initializer=name_thread, initargs=(name,))
        self._ip: Any = None

    def __enter__(self) -> Self:
        """Open the session."""
        try:
            self._ip = self._thread.submit(_open).result()
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the session."""
        self._thread.submit(self._ip.close).result()
        self._thread.shutdown()

    def links(self) -> dict[str, Link]:
        """Return all interfaces by name."""
        return {link.name: link for link in map(_link, self._dump("get_links"))}

    def link(self, name: str) -> Link | None:
        """Return an interface, if it is there."""
        return self.links().get(name)

    def addresses(self, device: Link) -> set[Interface]:
        """Return a device's addresses, but link-local ones, which the kernel gives itself."""
        found = set()
        for row in self._dump("get_addr", index=device.index):
            text = row.get_attr("IFA_LOCAL") or row.get_attr("IFA_ADDRESS")
            interface = ip_interface(f"{text}/{row['prefixlen']}")
            if row["index"] == device.index and not interface.ip.is_link_local:
                found.add(interface)
        return found

    def routes(self, tables: Iterable[int]) -> set[Route]:
        """Return the routes of tables that lead straight to a device."""
        names = {link.index: link.name for link in self.links().values()}
        wanted = set(tables)
        return {
            route
            for family in _FAMILIES
            for row in self._routes(family)
            if (table := _table(row)) in wanted and (route := _route(row, table, names)) is not None
        }

    def attached(self) -> set[Route]:
        """Return the main table's routes to attached networks."""
        return {
            route
            for route in self.routes([_TABLE_MAIN])
            if route.family == 6 or route.scope == SCOPE_LINK  # noqa: PLR2004
        }

    def default_routes(self, but: str) -> set[tuple[str, str]]:
        """Return device and next router of the main table's default routes, `but` a device's."""
        names = {link.index: link.name for link in self.links().values()}
        found = set()
        for family in _FAMILIES:
            for row in self._routes(family):
                if row["dst_len"] or _table(row) != _TABLE_MAIN or row["type"] != _UNICAST:
                    continue
                device = names.get(row.get_attr("RTA_OIF") or 0, "")
                if device != but:
                    found.add((device, str(row.get_attr("RTA_GATEWAY"))))
        return found

    def rules(self) -> set[Rule]:
        """Return the rules that have the form of ours."""
        found = set()
        for family, number in _FAMILIES.items():
            for row in self._dump("get_rules", family=number):
                mark, table = row.get_attr("FRA_FWMARK"), row.get_attr("FRA_TABLE")
                if row["flags"] & _RULE_INVERTED and mark is not None and table is not None:
                    found.add(Rule(family, row.get_attr("FRA_PRIORITY") or 0, table, mark))
        return found

    def set_mtu(self, device: Link, mtu: int) -> None:
        """Set a device's MTU."""
        self._do(_GONE, "link", "set", index=device.index, mtu=mtu)

    def set_up(self, device: Link, *, up: bool) -> None:
        """Set a device up or down."""
        self._do(_GONE, "link", "set", index=device.index, state="up" if up else "down")

    def add_address(self, device: Link, address: Interface) -> bool:
        """Give a device an address."""
        return self._do(_THERE, "addr", "add", **_address(device, address))

    def remove_address(self, device: Link, address: Interface) -> bool:
        """Take an address from a device."""
        return self._do(_GONE, "addr", "del", **_address(device, address))

    def add_route(self, device: Link, route: Route) -> bool:
        """Add a route over a device."""
        return self._do(_THERE, "route", "add", **_fields(device, route))

    def remove_route(self, device: Link, route: Route) -> bool:
        """Remove a route over a device."""
        return self._do(_GONE, "route", "del", **_fields(device, route))

    def add_rule(self, rule: Rule) -> bool:
        """Add a rule."""
        return self._do(_THERE, "rule", "add", **_rule(rule))

    def remove_rule(self, rule: Rule) -> bool:
        """Remove a rule."""
        return self._do(_GONE, "rule", "del", **_rule(rule))

    def _routes(self, family: Family) -> Iterator[Any]:
        # Most of a router's table, which may be long, is cached and learned: not for us.
        yield from self._dump("get_routes", family=_FAMILIES[family])

    def _dump(self, what: str, **fields: Any) -> list[Any]:
        try:
            return self._call(lambda: list(getattr(self._ip, what)(**fields)))
        except FirezoneError:
            if fields.get("family") == _FAMILIES[6]:
                return []  # a kernel without IPv6
            raise

    def _do(self, harmless: frozenset[int], what: str, verb: str, **fields: Any) -> bool:
        """Change something; False if the kernel's answer is one of the harmless ones."""
        return self._call(lambda: _changed(getattr(self._ip, what), verb, fields, harmless))

    def _call(self, act: Callable[[], T]) -> T:
        from pyroute2 import NetlinkError  # noqa: PLC0415 - 0.2 s

        try:
            return self._thread.submit(act).result()
        except NetlinkError as error:
            text = f"the kernel refuses: {error.args[-1]}"
            if error.code in (errno.EPERM, errno.EACCES):
                hint = "run it as root, or with CAP_NET_ADMIN"
                raise NeedsPrivilege(text, hint=hint) from error
            raise FirezoneError(text) from error


def subscribe() -> socket.socket:
    """Return a socket that becomes readable when a link, address, route or rule changes."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        events.bind((0, _GROUPS | 1 << 18))
    except BaseException:
        events.close()
        raise
    return events


def _open() -> Any:
    from pyroute2 import IPRoute  # noqa: PLC0415 - 0.2 s

    return IPRoute()


def _changed(
    act: Callable[..., object], verb: str, fields: dict[str, Any], harmless: frozenset[int]
) -> bool:
    from pyroute2 import NetlinkError  # noqa: PLC0415 - 0.2 s

    try:
        act(verb, **fields)
    except NetlinkError as error:
        if error.code in harmless:
            return False
        raise
    return True


def _link(row: Any) -> Link:
    flags = row["flags"]
    return Link(
        index=row["index"],
        name=row.get_attr("IFLA_IFNAME"),
        mtu=row.get_attr("IFLA_MTU"),
        is_up=bool(flags & _UP),
        is_running=bool(flags & _UP and flags & _RUNNING),
    )


def _table(row: Any) -> int:
    table: int = row.get_attr("RTA_TABLE") or row["table"]
    return table


def _route(row: Any, table: int, names: dict[int, str]) -> Route | None:
    """Return a route, if it leads straight to a device."""
    device = names.get(row.get_attr("RTA_OIF") or 0)
    if device is None or row["type"] != _UNICAST or row.get_attr("RTA_GATEWAY"):
        return None
    everything = "0.0.0.0" if row["family"] == socket.AF_INET else "::"  # noqa: S104
    network = ip_network(f"{row.get_attr('RTA_DST') or everything}/{row['dst_len']}")
    source, metric = row.get_attr("RTA_PREFSRC"), row.get_attr("RTA_PRIORITY") or 0
    return Route(table, str(network), device, row["scope"], source, metric)


def _address(device: Link, address: Interface) -> dict[str, Any]:
    return {
        "index": device.index,
        "address": str(address.ip),
        "prefixlen": address.network.prefixlen,
        "family": _FAMILIES[6 if address.version == 6 else 4],  # noqa: PLR2004
    }


def _fields(device: Link, route: Route) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "dst": route.destination,
        "oif": device.index,
        "table": route.table,
        "proto": _PROTOCOL_STATIC,
        "scope": route.scope if route.family == 4 else SCOPE_UNIVERSE,  # noqa: PLR2004
        "family": _FAMILIES[route.family],
    }
    if route.source is not None:
        fields["prefsrc"] = route.source
    if route.metric:
        fields["priority"] = route.metric
    return fields


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "family": _FAMILIES[rule.family],
        "priority": rule.priority,
        "table": rule.table,
        "fwmark": rule.fwmark,
        "fwmask": _ALL_BITS,
        "flags": _RULE_INVERTED,
        "protocol": _PROTOCOL_KERNEL,
    }
