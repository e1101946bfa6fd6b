"""The harness of the tunnel reckons medians, ratios and goals of rounds taken in turns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from benches.macro.choice import better, lowest
from benches.macro.goals import GOALS, Goal, judge
from benches.macro.metrics import METRICS
from benches.macro.quiet import Quiet, Sample, least_disturbed
from benches.macro.report import report
from benches.macro.rounds import in_turns
from benches.macro.subjects import COPY, OURS, RING, VECTORED, VETH, Subject, ours, peers
from benches.macro.summary import Figure, Figures, best_peer, figure_of, ratio_of

if TYPE_CHECKING:
    from pathlib import Path

GO = "wireguard-go"


def sample(subject: str, metric: str, number: int = 0, **values: float) -> Sample:
    return Sample("V", number, subject, metric, values)


def streams(subject: str, *rates: tuple[float, float]) -> list[Sample]:
    """Return one stream up and down, round by round."""
    return [
        sample(subject, f"tcp1-{way}", number, gbps=rate, cpu_s_per_gb=1 / rate)
        for number, pair in enumerate(rates)
        for way, rate in zip(("up", "down"), pair, strict=True)
    ]


def test_subjects_take_turns_there_and_back() -> None:
    assert [in_turns("AB", number) for number in range(2)] == [["A", "B"], ["B", "A"]]


def test_a_figure_is_the_median_between_the_least_and_the_most() -> None:
    figure = Figure.of([5.0, 1.0, 3.0])

    assert figure == Figure(3.0, 1.0, 5.0)
    assert figure.spread == pytest.approx(4 / 3)
    assert Figure.of([]) is None


def test_one_stream_counts_by_its_slower_way_in_each_round() -> None:
    figures = Figures(streams(OURS, (4.0, 3.0), (2.0, 5.0)))

    assert figures.rounds("V", OURS, "tcp1", "gbps") == {0: 3.0, 1: 2.0}
    assert figures.rounds("V", OURS, "tcp1", "cpu_s_per_gb") == {0: 1 / 3, 1: 0.5}
    assert figures.rounds("N", OURS, "tcp1", "gbps") == {}


def test_a_round_without_one_of_the_ways_does_not_count() -> None:
    figures = Figures([*streams(OURS, (4.0, 3.0)), sample(OURS, "tcp1-up", 1, gbps=9.0)])

    assert figures.rounds("V", OURS, "tcp1", "gbps") == {0: 3.0}


def test_ratios_are_of_the_same_round() -> None:
    ratio = ratio_of({0: 4.0, 1: 9.0, 2: 1.0}, {0: 2.0, 1: 3.0, 3: 1.0})

    assert ratio == Figure(2.5, 2.0, 3.0)
    assert ratio_of({0: 1.0}, {0: 0.0}) is None


def test_the_best_peer_is_the_one_with_the_fastest_slower_way() -> None:
    figures = Figures([*streams(GO, (2.0, 1.5)), *streams("boringtun", (9.0, 1.0))])

    assert best_peer(figures, "V", [GO, "boringtun", "gotatun"]) == GO
    assert best_peer(figures, "N", [GO]) is None


def test_a_peer_counts_with_its_better_setting() -> None:
    rates = {(GO, "default"): [2.0, 1.0], (GO, "one thread"): [1.5, 1.4]}

    found = lowest(rates)

    assert found == {GO: {"default": 1.0, "one thread": 1.4}}
    assert better(found[GO]) == "one thread"


def test_the_least_disturbed_try_counts() -> None:
    tries = [
        dataclasses.replace(sample(OURS, "idle", x=n), during=d) for n, d in ((1, 0.3), (2, 0.2))
    ]

    kept = least_disturbed(tries)

    assert (kept.values, kept.during, kept.tries) == ({"x": 2}, 0.2, 2)


@pytest.mark.parametrize(("during", "tries"), [(1.0, 1), (-1.0, 3)])
def test_a_sample_is_taken_anew_at_most_twice(during: float, tries: int) -> None:
    taken: list[int] = []
    quiet = Quiet(list, before=1.0, during=during, patience=0)

    kept = quiet.take(sample(OURS, "idle"), lambda: taken.append(1) or {"x": 1.0})

    assert (kept.tries, len(taken)) == (tries, tries)


def judged(samples: list[Sample], text: str, profile: str = "V") -> tuple[str, bool | None]:
    figures = Figures(samples)
    best = {profile: best_peer(figures, profile, [GO, "boringtun"])}
    found = next(one for one in judge(figures, best) if one.goal.text == text)
    return found.subject, found.is_met


@pytest.mark.parametrize(("rate", "met"), [(2.7, True), (2.6, False)])
def test_a_goal_of_ring_is_judged_on_what_runs_with_ring(rate: float, met: bool) -> None:
    samples = [*streams(GO, (1.5, 1.5)), *streams(OURS, (9.0, 9.0)), *streams(RING, (rate, 9.0))]

    assert judged(samples, "TCP one stream, ring") == (RING, met)


def test_without_that_variant_the_defaults_are_judged() -> None:
    samples = [*streams(GO, (1.0, 1.0)), *streams(OURS, (2.0, 2.0))]

    assert judged(samples, "TCP one stream, ring") == (OURS, True)
    assert judged(samples, "TCP one stream, vectored AEAD") == (OURS, False)
    assert judged(samples, "idle RTT p50") == (OURS, None)


def test_of_a_processor_without_avx_512_nothing_is_said_about_the_vectored_aead() -> None:
    samples = [*streams(GO, (1.0, 1.0)), *streams(OURS, (9.0, 9.0))]

    found = judge(Figures(samples), {"V": GO}, vectored=False)

    known = {one.goal.text: one.is_met for one in found}
    assert known["TCP one stream, vectored AEAD"] is None
    assert known["TCP one stream, ring"] is True


@pytest.mark.parametrize(("lost", "met"), [(0.001, True), (0.002, False)])
def test_losses_are_compared_with_those_of_the_bare_wire(lost: float, met: bool) -> None:
    samples = [sample(VETH, "udp-600", lost_share=0.001), sample(OURS, "udp-600", lost_share=lost)]

    assert judged(samples, "UDP at 600 Mb/s, share lost beyond the bare veth's") == (OURS, met)


def test_every_goal_is_about_something_that_is_measured() -> None:
    names = {metric.name for metric in METRICS} | {"tcp1", "tcp8"}

    assert [goal for goal in GOALS if goal.metric not in names] == []
    assert [g for g in GOALS if g.compared is not None and g.compared not in names] == []


def test_bounds_hold_at_their_edges() -> None:
    at_least = Goal("x", "V", "idle", "y", at_least=1.8)
    at_most = Goal("x", "V", "idle", "y", at_most=0.13, reference=None)

    assert at_least.holds(1.8)
    assert not at_least.holds(1.79)
    assert at_most.holds(0.13)
    assert not at_most.holds(0.14)
    assert (at_least.bound, at_most.bound) == ("≥ 1.8x", "≤ 0.13")


@pytest.mark.parametrize(
    ("known", "variants"),
    [({}, []), ({"aead": "ring"}, [VECTORED]), ({"aead": "auto"}, [RING])],
)
def test_variants_that_this_build_does_not_know_or_is_by_default_are_left_out(
    known: dict[str, object], variants: list[str]
) -> None:
    assert [subject.name for subject in ours(known)] == [OURS, *variants]


def test_each_peer_has_its_default_and_its_setting_for_one_thread(tmp_path: Path) -> None:
    found = peers(tmp_path)

    assert list(found) == [GO, "boringtun", "gotatun"]
    for ways in found.values():
        assert [way.setting.name for way in ways if way.setting] == ["default", "one thread"]


def test_a_command_line_is_told_without_the_folders_of_this_machine(tmp_path: Path) -> None:
    commands = [way.command for ways in peers(tmp_path).values() for way in ways]

    assert commands[1] == "`env GOMAXPROCS=1 wireguard --foreground DEVICE`"
    assert [command for command in commands if str(tmp_path) in command] == []


def test_variants_and_ceilings_are_measured_where_it_says_something() -> None:
    fitting = {
        (subject.name, profile): {m.name for m in METRICS if m.fits(subject, profile)}
        for subject in (Subject(OURS, "ours"), Subject("x", "ours"), Subject(COPY, "copy"))
        for profile in "VN"
    }

    assert {"dns1-up", "calls-up", "idle"} <= fitting[OURS, "V"]
    assert fitting["x", "V"] == fitting["x", "N"] == {"tcp1-up", "tcp1-down"}
    assert fitting[COPY, "N"] == set()


def test_the_page_tells_goals_figures_machine_and_disturbances() -> None:
    samples = [*streams(GO, (1.0, 2.0), (2.0, 2.0)), *streams(OURS, (4.0, 4.0), (5.0, 5.0))]
    about = {
        "day": "2026-11-27", "rounds": 2, "profiles": ["V"], "during": 0.1, "peers": [GO],
        "commands": {OURS: "`firezone`", GO: "`wireguard`"}, "versions": ["firezone 0.1"],
        "choice": {GO: {"default": 1.0, "one thread": 2.0}}, "offloads": {"V": {"gso": "on"}},
        "machine": {
            "processors": 2, "model": "Xeon", "flags": ["avx2"], "memory_gib": 24, "kernel": "6",
            "sysctls": {"net.core.rmem_max": "1"}, "iperf3": "iperf 3", "python": "3",
            "commit": "c",
        },
    }  # fmt: skip

    page = "\n".join(report(Figures(samples), samples, about))

    goal = (
        "| TCP one stream, ring | V | firezone | wireguard-go | ≥ 1.8x | 3.25x (2.50-4.00) | yes |"
    )
    assert goal in page
    assert "4.50 (4.00-5.00) · 3.25x" in page
    assert "| wireguard-go | one thread | 2.00 | yes |" in page
    assert "| `gso` | on |" in page
    assert "8 samples." in page


def test_a_value_that_nobody_took_is_no_figure() -> None:
    assert figure_of(Figures([]), "V", OURS, "idle", "rtt_p50_ms") is None
