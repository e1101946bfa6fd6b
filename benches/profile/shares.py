"""Where the time went, out of folded stacks: what functions took, with and without their calls."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

__all__ = ["Shares"]

_TOLD: Final = re.compile(
    r"(packet|dns|nat|wireguard|connection|netstack|tunnel|link|runtime|aead)::"
)
"""Functions of ours; those of threads and of the standard library stand above all of these."""
_CALL: Final = re.compile(r"(__x64_sys_|__sys_|ksys_)\w+")
"""Where the kernel is entered."""


@dataclass(frozen=True)
class Shares:
    """Shares of all time.

    Args:
        threads: By name.
        own: By function, without what it calls.
        within: By function of ours and by system call, with what it calls.
    """

    threads: dict[str, float]
    own: dict[str, float]
    within: dict[str, float]

    @classmethod
    def of(cls, stacks: str, most: int) -> Shares:
        """Add folded stacks up, and keep the largest."""
        threads: Counter[str] = Counter()
        own: Counter[str] = Counter()
        within: Counter[str] = Counter()
        for line in stacks.splitlines():
            stack, _, weight = line.rpartition(" ")
            thread, *functions = stack.split(";")
            threads[thread] += int(weight)
            own[functions[-1] if functions else thread] += int(weight)
            # A function that calls itself took its time once.
            for function in set(functions):
                if _TOLD.search(function) or _CALL.fullmatch(function):
                    within[function] += int(weight)
        return cls(
            *(_largest(counted, threads.total(), most) for counted in (threads, own, within))
        )

    def lines(self) -> list[str]:
        """Return them for people."""
        parts = (
            ("thread", self.threads),
            ("itself", self.own),
            ("with what it calls", self.within),
        )
        return [
            line
            for head, shares in parts
            for line in (
                f"  {head}:",
                *(f"{100 * share:8.1f} %  {n}" for n, share in shares.items()),
            )
        ]


def _largest(counted: Counter[str], total: int, most: int) -> dict[str, float]:
    return {name: weight / total for name, weight in counted.most_common(most)}
