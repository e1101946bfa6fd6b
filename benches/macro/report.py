"""The page of a run: ratios against goals first, then every figure with its spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests import results

from .goals import judge
from .summary import best_peer, figure_of, ratio_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .goals import Judged
    from .quiet import Sample
    from .summary import Figure, Figures

__all__ = ["report"]

_TENTH: Final = 10
_HUNDRED: Final = 100

COLUMNS: Final[tuple[tuple[str, str, str, float], ...]] = (
    ("1 stream up, Gb/s", "tcp1-up", "gbps", 1),
    ("1 stream down, Gb/s", "tcp1-down", "gbps", 1),
    ("CPU up, s/GB", "tcp1-up", "cpu_s_per_gb", 1),
    ("CPU down, s/GB", "tcp1-down", "cpu_s_per_gb", 1),
    ("8 streams up, Gb/s", "tcp8-up", "gbps", 1),
    ("8 streams down, Gb/s", "tcp8-down", "gbps", 1),
)
LATENCIES: Final[tuple[tuple[str, str, str, float], ...]] = (
    ("idle RTT p50, µs", "idle", "rtt_p50_ms", 1000),
    ("idle RTT p99, µs", "idle", "rtt_p99_ms", 1000),
    ("RTT p50 under upload, ms", "tcp1-up", "rtt_p50_ms", 1),
    ("RTT p99 under upload, ms", "tcp1-up", "rtt_p99_ms", 1),
    ("UDP 200 Mb/s lost, %", "udp-200", "lost_share", 100),
    ("UDP 600 Mb/s lost, %", "udp-600", "lost_share", 100),
)
COSTS: Final[tuple[tuple[str, str, str, float], ...]] = (
    ("system calls per packet up", "calls-up", "calls_per_packet_perf", 1),
    ("the same, strace", "calls-up", "calls_per_packet_strace", 1),
    ("down", "calls-down", "calls_per_packet_perf", 1),
    ("context switches per packet up", "tcp1-up", "switches_per_packet", 1),
    ("down ", "tcp1-down", "switches_per_packet", 1),
    ("retransmits up", "tcp1-up", "retransmits", 1),
    ("softirq share up, %", "tcp1-up", "softirq_share", 100),
)
ORDER: Final = (("200 Mb/s", "capture-200"), ("600 Mb/s", "capture-600"),
                ("TCP at half of the ceiling", "capture-half"))  # fmt: skip
VECTORS: Final = "avx512ifma"
"""Without this feature of the processor the default AEAD is ring."""
WAYS: Final = (("CIDR resource", "tcp1"), ("DNS resource", "dns1"),
               ("DNS resource, 1,000 queries/s", "query1"))  # fmt: skip


def report(figures: Figures, samples: Sequence[Sample], about: dict[str, Any]) -> list[str]:
    """Write the page.

    Args:
        figures: What the samples say.
        samples: All of them.
        about: The machine, the command lines, how the run was made.
    """
    best = {profile: best_peer(figures, profile, about["peers"]) for profile in about["profiles"]}
    return [
        "# The tunnel beside others",
        "",
        *_introduction(about, best),
        "",
        "![throughput, cost and delay](macro.png)",
        "",
        "## Goals",
        "",
        *_goals(judge(figures, best, vectored=VECTORS in about["machine"]["flags"])),
        *_profiles(figures, about, best),
        "",
        "## Through a name",
        "",
        *_ways(figures),
        "",
        "## Order of inner packets",
        "",
        "Captured at the site, where each packet comes alone for this; *late*: it came after a",
        "later one; *missing*: it never came, or TCP's next one came before it.",
        "",
        *_order(figures),
        "",
        "## What ran",
        "",
        *_subjects(about),
        "",
        "## The machine",
        "",
        *_machine(about),
        "",
        *_disturbed(samples, about),
    ]


def _introduction(about: dict[str, Any], best: dict[str, str | None]) -> list[str]:
    named = ", ".join(f"{profile}: {name}" for profile, name in best.items() if name)
    return [
        f"Written by `make bench-macro` on {about['day']}, commit {about['machine']['commit']}.",
        "application | client | wire | gateway | site, each a network namespace of one machine, so",
        "that both ends, both applications and the wire share its processors. Subjects take turns",
        f"(A B B A) in {about['rounds']} rounds; a figure is the median, in brackets the least and",
        "the most of the rounds; a ratio is the median of the rounds' own ratios. Every inner",
        "packet has 1280 bytes at most, and every gateway masquerades. Profile V: the wire's veth",
        "as it is; profile N: without segmentation and merging, as a network card without these.",
        "TCP is cubic, Linux's own choice, whatever the host is set to: BBR has no more on its way",
        "than twice what the least delay takes that it ever saw, and lets a tunnel wait.",
        f"The best peer, by the slower way of one stream: {named or 'none was measured'}.",
    ]


def _goals(judged: Sequence[Judged]) -> list[str]:
    rows = []
    for one in judged:
        goal, met = one.goal, {True: "yes", False: "**no**", None: "not judged"}[one.is_met]
        times = "x" if goal.reference is not None else ""
        rows.append(
            (
                goal.text,
                goal.profile,
                one.subject,
                one.reference,
                goal.bound,
                _said(one.figure, unit=times),
                met,
            )
        )
    return results.table(("what", "wire", "of", "against", "goal", "here", "met"), rows)


def _profiles(
    figures: Figures, about: dict[str, Any], best: dict[str, str | None]
) -> Iterator[str]:
    for profile in about["profiles"]:
        yield from ("", f"## Profile {profile}", "")
        for columns in (COLUMNS, LATENCIES, COSTS):
            yield from _figures(figures, profile, columns, best.get(profile))


def _figures(
    figures: Figures,
    profile: str,
    columns: Sequence[tuple[str, str, str, float]],
    best: str | None,
) -> Iterator[str]:
    """Make a table of those columns that this profile has; each with its ratio to the best peer."""
    has = [
        column
        for column in columns
        if any(figure_of(figures, profile, name, *column[1:3]) for name in figures.subjects)
    ]
    if not has:
        return
    rows = []
    for subject in figures.subjects:
        cells = []
        for _, metric, value, scale in has:
            cell = _said(figure_of(figures, profile, subject, metric, value), scale)
            ours = figures.rounds(profile, subject, metric, value)
            if best is not None and best != subject and cell:
                ratio = ratio_of(ours, figures.rounds(profile, best, metric, value))
                cell += f" · {_number(ratio.median)}x" if ratio else ""
            cells.append(cell)
        if any(cells):
            rows.append((subject, *cells))
    yield from results.table(("", *(column[0] for column in has)), rows)
    yield ""


def _ways(figures: Figures) -> list[str]:
    rows = []
    for label, metric in WAYS:
        cells = []
        for way in ("up", "down"):
            name = f"{metric}-{way}"
            figure = figure_of(figures, "V", "firezone", name, "gbps")
            plain = figures.rounds("V", "firezone", f"tcp1-{way}", "gbps")
            ratio = ratio_of(figures.rounds("V", "firezone", name, "gbps"), plain)
            cells += [_said(figure), _said(ratio, unit="x")]
        rows.append((label, *cells))
    return results.table(
        ("firezone, one stream", "up, Gb/s", "of CIDR", "down, Gb/s", "of CIDR"), rows
    )


def _order(figures: Figures) -> list[str]:
    rows = []
    for label, metric in ORDER:
        for subject in figures.subjects:
            names = ("offered_mbps", "packets", "late", "missing", "not_captured")
            values = [figure_of(figures, "V", subject, metric, name) for name in names]
            if any(values):
                cells = [f"{value.median:,.0f}" if value else "" for value in values]
                rows.append((label, subject, *cells))
    heads = ("offered as", "subject", "Mb/s", "packets", "late", "missing", "not captured")
    return results.table(heads, rows)


def _subjects(about: dict[str, Any]) -> list[str]:
    rows = [(name, command) for name, command in about["commands"].items()]
    lines = results.table(("subject", "command line, at both ends"), rows)
    if about["choice"]:
        lines += [
            "",
            "Which setting of a peer counts was found first: Gb/s of one stream, the lower of ways",
            "and of two rounds.",
            "",
        ]
        chosen = [
            (name, setting, f"{rate:.2f}", "yes" if rate == max(ways.values()) else "")
            for name, ways in about["choice"].items()
            for setting, rate in ways.items()
        ]
        lines += results.table(("peer", "setting", "Gb/s", "counts"), chosen)
    return lines


def _machine(about: dict[str, Any]) -> list[str]:
    machine = about["machine"]
    offloads = about["offloads"]
    flags = dict.fromkeys(flag for told in offloads.values() for flag in told)
    switched = [
        (f"`{flag}`", *(told.get(flag, "") for told in offloads.values())) for flag in flags
    ]
    return [
        f"{machine['processors']} x {machine['model']}; {', '.join(machine['flags'])};",
        f"{machine['memory_gib']} GiB; Linux {machine['kernel']}; {machine['iperf3']};",
        f"Python {machine['python']}; {', '.join(about['versions'])}. No process is pinned.",
        "",
        *results.table(("sysctl", "value"), ((f"`{k}`", v) for k, v in machine["sysctls"].items())),
        "",
        *results.table(("`ethtool -k` of the wire", *offloads), switched),
    ]


def _disturbed(samples: Sequence[Sample], about: dict[str, Any]) -> list[str]:
    if not samples:
        return ["No samples."]
    before = sorted(sample.before for sample in samples)
    during = sorted(sample.during for sample in samples)
    loud = sum(sample.during > about["during"] for sample in samples)
    again = sum(sample.tries > 1 for sample in samples)
    median_before, median_during = before[len(before) // 2], during[len(during) // 2]
    return [
        f"{len(samples)} samples. Of the processors, others used {median_before:.1%} before one",
        f"(median; at most {before[-1]:.1%}) and {median_during:.1%} while one ran (at most",
        f"{during[-1]:.1%}); {again} were taken anew because of it, and in {loud} others used more",
        f"than {about['during']:.0%} all the same.",
    ]


def _said(figure: Figure | None, scale: float = 1, unit: str = "") -> str:
    if figure is None:
        return ""
    said = f"{_number(figure.median * scale)}{unit}"
    if figure.least == figure.most:
        return said
    return f"{said} ({_number(figure.least * scale)}-{_number(figure.most * scale)})"


def _number(value: float) -> str:
    size = abs(value)
    if size >= _HUNDRED:
        return f"{value:,.0f}"
    return (
        f"{value:.1f}"
        if size >= _TENTH
        else f"{value:.2f}"
        if size >= 1 or not size
        else f"{value:.3g}"
    )
