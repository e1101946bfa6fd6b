"""What the site's DNS says of its names over time: the ways in which records change."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

__all__ = ["MODES", "Family", "Mode", "Records", "Reply"]

Mode = Literal[
    "same",
    "rotate",
    "replace",
    "lose-family",
    "servfail",
    "refused",
    "nxdomain",
    "timeout",
    "late",
]
Family = Literal["ipv4", "ipv6"]

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
REPLACE_EVERY: Final = 0.25
"""Seconds that a set of addresses lasts in mode `replace`."""
LOST_FOR: Final = 7.0
"""Seconds without a family in `lose-family`: longer than a Gateway takes to believe it."""
BACK_FOR: Final = 1.0
LATE: Final = (0.2, 3.0)

_FIRST: Final = {
    "ipv4": tuple(f"10.77.0.{host}" for host in range(11, 15)),
    "ipv6": tuple(f"fd77::{host}" for host in range(11, 15)),
}
_POOL: Final = {"ipv4": "10.77.1.{}", "ipv6": "fd77:0:0:1::{}"}
_POOL_HOSTS: Final = 250
_SET: Final = 3


@dataclass(frozen=True)
class Reply:
    """An answer: a response code, addresses, and when it goes out.

    Args:
        rcode: The name of the response code.
        addresses: Empty with NOERROR is NODATA.
        delay: Seconds until it is sent; None for never.
    """

    rcode: str = "NOERROR"
    addresses: tuple[str, ...] = ()
    delay: float | None = 0.0


@dataclass
class Records:
    """The records of the site's names, all alike, in one mode.

    Until `begin` they stay as they are, so that a first set-up works. Times are seconds of one
    clock of the caller's choice.

    Args:
        seed: What is random follows from it.
    """

    seed: int
    mode: Mode = "same"
    since: float | None = None
    history: list[tuple[float, Family, tuple[str, ...]]] = field(default_factory=list)
    answered: int = 0
    _random: random.Random = field(init=False, repr=False)
    _turns: dict[Family, int] = field(default_factory=lambda: {"ipv4": 0, "ipv6": 0})
    _served: dict[Family, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Seed the random numbers."""
        self._random = random.Random(self.seed)  # noqa: S311

    def begin(self, mode: Mode, now: float) -> None:
        """Let the records change as `mode` says, from now on."""
        self.mode, self.since = mode, now

    def end(self) -> None:
        """Leave the records as they were at first."""
        self.since = None

    def answer(self, family: Family, now: float) -> Reply:
        """Answer a query for one family, and remember which addresses were served when."""
        reply = self._reply(family, now)
        self.answered += reply.delay is not None
        if reply.addresses and reply.delay is not None:
            self._remember(family, reply.addresses, now + reply.delay)
        return reply

    def _remember(self, family: Family, addresses: tuple[str, ...], now: float) -> None:
        served = tuple(sorted(addresses))
        if self._served.get(family) != served:
            self._served[family] = served
            self.history.append((now, family, served))

    def _reply(self, family: Family, now: float) -> Reply:
        first = _FIRST[family]
        elapsed = 0.0 if self.since is None else max(0.0, now - self.since)
        reply = Reply(addresses=first)
        match None if self.since is None else self.mode:
            case "rotate":
                self._turns[family] += 1
                turn = self._turns[family] % len(first)
                reply = Reply(addresses=first[turn:] + first[:turn])
            case "replace":
                reply = Reply(addresses=_replaced(family, int(elapsed / REPLACE_EVERY)))
            case "lose-family" if family == _lost(elapsed):
                reply = Reply()
            case "servfail" | "refused" | "nxdomain" as code:
                reply = Reply(rcode=code.upper())
            case "timeout":
                reply = Reply(delay=None)
            case "late":
                reply = Reply(addresses=first, delay=self._random.uniform(*LATE))
        return reply


def _replaced(family: Family, turn: int) -> tuple[str, ...]:
    """Return the set of a turn; no set shares an address with one of the 80 before it."""
    hosts = ((turn * _SET + i) % _POOL_HOSTS + 1 for i in range(_SET))
    return tuple(_POOL[family].format(host) for host in hosts)


def _lost(elapsed: float) -> Family | None:
    """Return the family that is away: first IPv4, then IPv6, with both present in between."""
    turn, within = divmod(elapsed, LOST_FOR + BACK_FOR)
    if within >= LOST_FOR:
        return None
    return "ipv4" if int(turn) % 2 == 0 else "ipv6"
