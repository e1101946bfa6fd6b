"""A table of our own in nftables: the whole of it is made at once, and goes at once.

What it does to packets that are not ours: nothing. The text is nft's own language, since its JSON
loses the time-outs (docs/decisions/0008-host.md).
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from firezone.errors import FirezoneError

from . import programs
from .plan import ClientNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plan import Family, GatewayNetwork, Plan

__all__ = ["Nftables", "ruleset", "table_name"]

TCP_ANSWERED: Final = 7440
TCP_OTHER: Final = 240
UDP: Final = 300
"""Seconds that a flow lives in our NAT after its last packet (R30)."""

_TCP: Final = {
    "syn_sent": TCP_OTHER,
    "syn_recv": TCP_OTHER,
    "established": TCP_ANSWERED,
    # One FIN: the other direction may go on for as long as it likes.
    "fin_wait": TCP_ANSWERED,
    "close_wait": TCP_ANSWERED,
    "last_ack": TCP_OTHER,
    "time_wait": TCP_OTHER,
    # After a reset, which a later segment undoes.
    "close": TCP_OTHER,
    # The path may be away for longer than the kernel waits for an acknowledgement.
    "retrans": TCP_ANSWERED,
    "unack": TCP_ANSWERED,
}
_UDP: Final = {"unreplied": UDP, "replied": UDP}
_NFT: Final = {4: "ip", 6: "ip6"}


def table_name(plan: Plan) -> str:
    """Return the name of a plan's table, of the family `inet`."""
    return "firezone-client" if isinstance(plan, ClientNetwork) else "firezone-gateway"


def ruleset(plan: Plan, families: frozenset[Family]) -> str:
    """Return what nft reads to make a plan's table anew, whatever is there."""
    name = table_name(plan)
    chains = _from_elsewhere(plan, families)
    if not isinstance(plan, ClientNetwork):
        chains = [*_timeouts(families), *chains, *_forward(plan, families)]
        if plan.masquerade:
            chains += _masquerade(plan, families)
    body = "\n".join(chains)
    # Adding it first makes removing it succeed in any case.
    return f"table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{body}\n}}\n"


def _from_elsewhere(plan: Plan, families: frozenset[Family]) -> list[str]:
    """Drop packets for our own tunnel addresses that came in by another interface."""
    rules = [
        f'iifname != {{ "lo", "{plan.tun}" }} {_NFT[a.version]} daddr {a.ip} drop'
        for a in sorted(plan.wanted(families).addresses, key=lambda a: a.version)
    ]
    return _chain(
        "from-elsewhere", "type filter hook prerouting priority raw; policy accept;", rules
    )


def _forward(plan: GatewayNetwork, families: frozenset[Family]) -> list[str]:
    """Let Clients out and answers in; nobody may claim to be a Client, or reach one unasked."""
    tun = f'"{plan.tun}"'
    rules = [
        f"iifname != {tun} {_NFT[family]} saddr {networks} drop"
        for family, networks in _networks(plan, families)
    ]
    rules += [f"oifname {tun} ct state established,related accept", f"oifname {tun} drop"]
    rules += [
        f"iifname {tun} meta nfproto ipv{family} meta l4proto {protocol}"
        f' ct timeout set "{protocol}{family}"'
        for family in sorted(families)
        for protocol in ("tcp", "udp")
    ]
    rules.append(f"iifname {tun} accept")
    return _chain("forward", "type filter hook forward priority filter; policy accept;", rules)


def _masquerade(plan: GatewayNetwork, families: frozenset[Family]) -> list[str]:
    rules = [
        f'oifname != "{plan.tun}" {_NFT[family]} saddr {networks} masquerade'
        for family, networks in _networks(plan, families)
    ]
    return _chain("addresses", "type nat hook postrouting priority srcnat; policy accept;", rules)


def _timeouts(families: frozenset[Family]) -> list[str]:
    lines = []
    for family in sorted(families):
        for protocol, seconds in (("tcp", _TCP), ("udp", _UDP)):
            policy = ", ".join(f"{state} : {time}" for state, time in seconds.items())
            lines += [
                f"\tct timeout {protocol}{family} {{",
                f"\t\tprotocol {protocol}",
                f"\t\tl3proto {_NFT[family]}",
                f"\t\tpolicy = {{ {policy} }}",
                "\t}",
            ]
    return lines


def _networks(plan: GatewayNetwork, families: frozenset[Family]) -> list[tuple[Family, str]]:
    found: list[tuple[Family, str]] = []
    for family in sorted(families):
        networks = sorted(n for n in plan.client_networks if n.version == family)
        if networks:
            found.append((family, f"{{ {', '.join(map(str, networks))} }}"))
    return found


def _chain(name: str, head: str, rules: Sequence[str]) -> list[str]:
    return [f"\tchain {name} {{", f"\t\t{head}", *(f"\t\t{rule}" for rule in rules), "\t}"]


class Nftables:
    """Carries rule sets out with the program nft."""

    def apply(self, text: str) -> None:
        """Carry out a rule set, all of it or nothing."""
        programs.run(["nft", "-f", "-"], text=text)

    def listing(self, name: str) -> str | None:
        """Return how nft shows a table; None if it is not there."""
        try:
            return programs.run(["nft", "list", "table", "inet", name])
        except FirezoneError as error:
            if "No such file" in str(error):
                return None
            raise

    def remove(self, name: str) -> None:
        """Remove a table; nothing happens if it is not there."""
        # Adding it first makes removing it succeed in any case.
        programs.run(["nft", "-f", "-"], text=f"table inet {name}\ndelete table inet {name}\n")

    def dropping_chains(self) -> list[str]:
        """Return chains of others that drop what they do not know of among forwarded packets."""
        with contextlib.suppress(FirezoneError, ValueError):
            rows = json.loads(programs.run(["nft", "-j", "list", "chains"]))["nftables"]
            chains = [row["chain"] for row in rows if "chain" in row]
            return [
                f"{chain['family']} {chain['table']} {chain['name']}"
                for chain in chains
                if chain.get("hook") == "forward" and chain.get("policy") == "drop"
            ]
        return []
