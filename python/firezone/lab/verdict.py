"""What a run proves: kept, broken, or nothing (`invalid`), and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import DemoSettings, PathKind, Policy

__all__ = ["Evidence", "Figures", "PolicyRun", "Verdict", "judge", "overall", "to_json"]

Verdict = Literal["kept", "broken", "invalid"]

SCHEMA: Final = "firezone.demo/1"
RECREATIONS: Final = 10
"""Completed per second of transfer, or per run where a handshake is slow (§6)."""
LOOKUPS: Final = 2
"""Finished per second of transfer (§6)."""


@dataclass(frozen=True)
class Figures:
    """What one policy did to the transfer; the members of the demo's JSON.

    Counts are of the transfer's own packets; `held` and `overwritten` are the Client's while the
    transfer was watched. `new_connections_current` is None where the records cannot tell.
    """

    bytes: int
    sha256_equal: bool
    resets: int
    lost: int
    duplicated: int
    reordered: int
    misdirected: int
    longest_gap_ms: float
    gap_p9999_ms: float
    recreations_completed: int
    held: int
    overwritten: int
    new_connections_current: bool | None
    throughput_bits_per_second: float


@dataclass(frozen=True)
class Evidence:
    """What says whether a run proves anything.

    Args:
        lookups_finished: While the transfer was watched.
        kernel_drops: In the captures and in the queues of the TUN devices.
        link_drops: Packets that the link lost or had no room for.
        unexpected: Segments of the transfer that left without having entered.
        foreign: Packets between the hosts of a tunnel that were not WireGuard's.
        socket_drops: Datagrams that found the buffer of an endpoint's socket full.
    """

    lookups_finished: int
    kernel_drops: int
    link_drops: int
    unexpected: int
    foreign: int = 0
    socket_drops: int = 0

    @property
    def is_disturbed(self) -> bool:
        """Whether this host got in the way: another run may prove more."""
        return self.kernel_drops > 0 or self.socket_drops > 0


@dataclass(frozen=True)
class PolicyRun:
    """One policy's run with its judgement.

    Args:
        policy: Which.
        path: How its packets travelled.
        figures: What happened.
        evidence: What it proves.
        verdict: The judgement.
        reasons: Why it is not `kept`.
        rate: Bytes in each `bucket` seconds from `start` on, where the transfer was received.
        start: Seconds since the epoch.
        bucket: Seconds.
        watched: Begin and end of the time that counts, in seconds since the epoch.
        query_times: When queries were sent, in seconds since the epoch.
        wire_packets: Packets between the hosts of a tunnel; None in one process.
    """

    policy: Policy
    path: PathKind
    figures: Figures
    evidence: Evidence
    verdict: Verdict
    reasons: list[str]
    rate: list[int] = field(default_factory=list, repr=False)
    start: float = 0.0
    bucket: float = 0.01
    watched: tuple[float, float] = (0.0, 0.0)
    query_times: list[float] = field(default_factory=list, repr=False)
    wire_packets: int | None = None


def judge(
    policy: Policy, settings: DemoSettings, figures: Figures, evidence: Evidence
) -> tuple[Verdict, list[str]]:
    """Judge one policy's run.

    Returns:
        The verdict and the reasons for anything but `kept`.
    """
    invalid = _doubts(policy, settings, figures, evidence)
    if invalid:
        return "invalid", invalid
    broken = _breaches(figures, evidence)
    return ("broken", broken) if broken else ("kept", [])


def overall(runs: Mapping[Policy, PolicyRun]) -> Verdict:
    """Return the verdict on the promise: that of `keep`, where it ran.

    A comparison that proves nothing makes the whole run prove less than it says.
    """
    verdicts = [run.verdict for run in runs.values()]
    if "keep" in runs and runs["keep"].verdict != "kept":
        return runs["keep"].verdict
    if "invalid" in verdicts:
        return "invalid"
    return "kept" if "keep" in runs else verdicts[0]


def to_json(runs: Mapping[Policy, PolicyRun]) -> dict[str, Any]:
    """Return the demo's result as the schema `firezone.demo/1` has it."""
    policies = {policy: {"path": run.path, **asdict(run.figures)} for policy, run in runs.items()}
    return {"schema": SCHEMA, "verdict": overall(runs), "policies": policies}


def _doubts(
    policy: Policy, settings: DemoSettings, figures: Figures, evidence: Evidence
) -> list[str]:
    doubts = []
    if evidence.kernel_drops:
        doubts.append(f"the kernel dropped {evidence.kernel_drops} packets or captured frames")
    if evidence.socket_drops:
        doubts.append(
            f"{evidence.socket_drops} datagrams found the buffer of a socket full; this host "
            "allows larger ones by: sysctl -w net.core.rmem_max=16777216"
        )
    if evidence.link_drops:
        doubts.append(f"the link's queue overflowed: {evidence.link_drops} packets")
    if policy == "halt":
        # It re-creates as rarely as its halts make it; that is part of what it does.
        return doubts
    needed = RECREATIONS if settings.is_slow(policy) else RECREATIONS * settings.seconds
    if figures.recreations_completed < needed:
        doubts.append(
            f"only {figures.recreations_completed} re-creations were completed; {needed:.0f} are "
            "needed for a proof"
        )
    needed = LOOKUPS * settings.seconds
    if settings.looks_up and evidence.lookups_finished < needed:
        doubts.append(
            f"only {evidence.lookups_finished} look-ups were finished; {needed:.0f} are needed for "
            "a proof"
        )
    return doubts


def _breaches(figures: Figures, evidence: Evidence) -> list[str]:
    counts = {
        "resets": figures.resets,
        "packets lost": figures.lost,
        "packets duplicated": figures.duplicated,
        "packets reordered": figures.reordered,
        "packets misdirected": figures.misdirected,
        "packets held": figures.held,
        "packets overwritten": figures.overwritten,
        "packets that nobody sent": evidence.unexpected,
        "packets between the hosts that were not WireGuard's": evidence.foreign,
    }
    breaches = [f"{count} {what}" for what, count in counts.items() if count]
    if not figures.sha256_equal:
        breaches.append("the bytes did not arrive as they were sent")
    if figures.new_connections_current is False:
        breaches.append("a new connection reached an address that was no longer current")
    return breaches
