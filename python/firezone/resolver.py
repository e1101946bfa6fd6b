"""The Gateway's name look-ups: ask the site's servers, nothing more.

No cache, no filter, no retry beyond the servers listed: which answer may be used, how long, and
what becomes of an error is decided in the core (R17-R25), where simulation and fuzzing reach it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from .errors import ConfigError
from .socket_address import SocketAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

__all__ = ["Family", "LookupResult", "Resolver", "read_hosts", "read_nameservers"]

Family = Literal["ipv4", "ipv6"]

LookupResult = (
    dict[Literal["addresses"], list[tuple[str, int]]]
    | Literal["nx_domain", "no_data", "serv_fail", "refused", "timed_out", "other"]
)
"""What the core takes: addresses with their seconds to live, or why there are none."""

DEADLINE: Final = 4.0
"""Seconds for all servers together; the core gives up after 5 (R19)."""
MAX_ADDRESSES: Final = 64
"""A server that lies may send thousands; more than these are of no use for eight proxies."""
EDNS_PAYLOAD: Final = 1232
"""Bytes of a UDP answer that no path fragments (DNS flag day 2020)."""
HOSTS_TTL: Final = 60
"""Seconds that an entry of the hosts file is good for."""
MAX_TTL: Final = 2**31 - 1
"""RFC 2181 section 8."""

_TYPES: Final = {"ipv4": dns.rdatatype.A, "ipv6": dns.rdatatype.AAAA}


@dataclass
class Counters:
    """What the look-ups came to."""

    asked: int = 0
    truncated_lists: int = 0
    failed: int = 0


@dataclass
class Resolver:
    """Looks up one family of a name at a time.

    Args:
        servers: Asked in order; the next one when the former gives no usable answer.
        hosts: Name (lower case) to addresses, as `read_hosts` makes it; wins over the servers.
        log: Told of servers that give too much.
    """

    servers: Sequence[SocketAddress]
    hosts: dict[str, list[str]] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    log: FilteringBoundLogger | None = None

    async def lookup(self, name: str, family: Family) -> LookupResult:
        """Look up the A or AAAA records of a name; CNAMEs in the answer are followed.

        Args:
            name: The name, without trailing dot.
            family: `ipv4` for A, `ipv6` for AAAA.

        Returns:
            At most 64 addresses, each with the least time to live of its chain in seconds, or the
            reason why there are none. Never raises for anything that a server does.
        """
        self.counters.asked += 1
        if found := self._from_hosts(name, family):
            return {"addresses": found}
        try:
            async with asyncio.timeout(DEADLINE):
                result = await self._ask_servers(name, family)
        except TimeoutError:
            result = "timed_out"
        except dns.exception.DNSException:
            result = "other"
        if isinstance(result, str):
            self.counters.failed += 1
        return result

    def _from_hosts(self, name: str, family: Family) -> list[tuple[str, int]]:
        wanted = 4 if family == "ipv4" else 6
        addresses = self.hosts.get(name.lower(), [])
        found = [(a, HOSTS_TTL) for a in addresses if ipaddress.ip_address(a).version == wanted]
        return found[:MAX_ADDRESSES]

    async def _ask_servers(self, name: str, family: Family) -> LookupResult:
        result: LookupResult = "other"
        each = DEADLINE / max(len(self.servers), 1)
        for server in self.servers:
            # Each has an id and a port of its own: no server can answer for another.
            query = dns.message.make_query(name, _TYPES[family], use_edns=0, payload=EDNS_PAYLOAD)
            try:
                # A datagram that is no answer to this query counts as none: anybody may send it.
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    query,
                    server.address,
                    port=server.port,
                    timeout=each,
                    ignore_unexpected=True,
                    ignore_errors=True,
                )
            except dns.exception.Timeout:
                result = "timed_out"
                continue
            except (OSError, dns.exception.DNSException, EOFError):
                result = "other"
                continue
            result = self._read(answer, name, family)
            # Only a server that is broken or refuses is worth asking the next one.
            if result not in ("serv_fail", "refused", "other"):
                break
        return result

    def _read(self, answer: dns.message.Message, name: str, family: Family) -> LookupResult:
        failure = {
            dns.rcode.NXDOMAIN: "nx_domain",
            dns.rcode.SERVFAIL: "serv_fail",
            dns.rcode.REFUSED: "refused",
        }
        if answer.rcode() != dns.rcode.NOERROR:
            return failure.get(answer.rcode(), "other")  # type: ignore[return-value]
        if not isinstance(answer, dns.message.QueryMessage):
            return "other"
        try:
            chain = answer.resolve_chaining()
        except dns.message.ChainTooLong:
            return "other"
        except dns.exception.DNSException:
            return "no_data"
        if chain.answer is None:
            return "no_data"
        ttl = max(0, min(chain.minimum_ttl, MAX_TTL))
        addresses = [record.address for record in chain.answer if record.rdtype == _TYPES[family]]
        if len(addresses) > MAX_ADDRESSES:
            self.counters.truncated_lists += 1
            if self.log is not None:
                self.log.warning(
                    "a server gave more addresses than can be used",
                    event_name="dns.truncated",
                    name=name,
                    family=family,
                    addresses=len(addresses),
                    used=MAX_ADDRESSES,
                )
        return {"addresses": [(address, ttl) for address in addresses[:MAX_ADDRESSES]]}


def read_nameservers(path: Path = Path("/etc/resolv.conf")) -> list[SocketAddress]:
    """Read the name servers of a resolv.conf.

    Args:
        path: The file.

    Returns:
        The servers in their order.

    Raises:
        ConfigError: The file cannot be read or names no server.
    """
    try:
        resolver = dns.resolver.Resolver(filename=str(path))
    except (OSError, ValueError, dns.exception.DNSException) as error:
        message = f"{path}: {error}"
        raise ConfigError(message, hint="name the site's DNS servers in the settings") from error
    servers = [SocketAddress(str(address), 53) for address in resolver.nameservers]
    if not servers:
        message = f"{path} names no server"
        raise ConfigError(message, hint="name the site's DNS servers in the settings")
    return servers


def read_hosts(path: Path = Path("/etc/hosts")) -> dict[str, list[str]]:
    """Read a hosts file; lines that are none are passed over, as every resolver does.

    Args:
        path: The file; one that is missing is an empty one.

    Returns:
        Name in lower case to addresses.
    """
    hosts: dict[str, list[str]] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return hosts
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ipaddress.ip_address(address)
        except ValueError:
            continue
        # A zone (fe80::1%eth0) means something on this host alone; nothing can be sent there.
        if "%" in address:
            continue
        for name in names:
            hosts.setdefault(name.lower(), []).append(address)
    return hosts
