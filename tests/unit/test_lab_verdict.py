"""When a run is kept, broken or proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from firezone.lab.prober import Probe, is_current
from firezone.lab.settings import DemoSettings, LinkSettings
from firezone.lab.verdict import Evidence, Figures, PolicyRun, judge, overall, to_json

if TYPE_CHECKING:
    from firezone.lab.settings import Policy
    from firezone.lab.verdict import Verdict

GOOD = Figures(
    bytes=1_000_000,
    sha256_equal=True,
    resets=0,
    lost=0,
    duplicated=0,
    reordered=0,
    misdirected=0,
    longest_gap_ms=4.0,
    gap_p9999_ms=2.0,
    recreations_completed=200,
    held=0,
    overwritten=0,
    new_connections_current=True,
    throughput_bits_per_second=1e8,
)
ENOUGH = Evidence(lookups_finished=100, kernel_drops=0, link_drops=0, unexpected=0)
SETTINGS = DemoSettings(seconds=15, path="process")


def test_a_run_without_faults_is_kept() -> None:
    assert judge("keep", SETTINGS, GOOD, ENOUGH) == ("kept", [])


@pytest.mark.parametrize(
    "fault",
    [
        {"lost": 1},
        {"duplicated": 1},
        {"reordered": 1},
        {"misdirected": 1},
        {"resets": 1},
        {"held": 1},
        {"overwritten": 1},
        {"sha256_equal": False},
        {"new_connections_current": False},
    ],
)
def test_any_fault_breaks_the_promise(fault: dict[str, Any]) -> None:
    verdict, reasons = judge("keep", SETTINGS, replace(GOOD, **fault), ENOUGH)

    assert verdict == "broken"
    assert len(reasons) == 1


def test_a_packet_in_the_clear_between_the_hosts_breaks_the_promise() -> None:
    evidence = replace(ENOUGH, foreign=1)

    assert judge("keep", SETTINGS, GOOD, evidence)[0] == "broken"


def test_new_connections_that_cannot_be_judged_break_nothing() -> None:
    figures = replace(GOOD, new_connections_current=None)

    assert judge("keep", SETTINGS, figures, ENOUGH) == ("kept", [])


def test_too_few_recreations_or_lookups_prove_nothing() -> None:
    few = replace(GOOD, recreations_completed=149)
    assert judge("keep", SETTINGS, few, ENOUGH)[0] == "invalid"

    idle = replace(ENOUGH, lookups_finished=29)
    assert judge("keep", SETTINGS, GOOD, idle)[0] == "invalid"


def test_drops_of_the_kernel_prove_nothing_even_beside_a_loss() -> None:
    drops = replace(ENOUGH, kernel_drops=1)

    assert judge("keep", SETTINGS, replace(GOOD, lost=1), drops)[0] == "invalid"


def test_full_sockets_prove_nothing_and_the_reason_says_what_mends_it() -> None:
    full = replace(ENOUGH, socket_drops=3)

    verdict, reasons = judge("keep", SETTINGS, replace(GOOD, lost=3), full)

    assert verdict == "invalid"
    assert "sysctl -w net.core.rmem_max=16777216" in reasons[0]


@pytest.mark.parametrize("link", [LinkSettings(latency=0.05), LinkSettings(control_loss=0.3)])
def test_where_a_handshake_is_slow_ten_a_run_suffice(link: LinkSettings) -> None:
    settings = replace(SETTINGS, link=link)

    assert judge("keep", settings, replace(GOOD, recreations_completed=10), ENOUGH)[0] == "kept"
    assert judge("keep", settings, replace(GOOD, recreations_completed=9), ENOUGH)[0] == "invalid"


@pytest.mark.parametrize(("latency", "needed"), [(0.02, 10), (0.01, 150)])
def test_a_handshake_in_a_tunnel_stands_in_line_with_the_transfer(
    latency: float, needed: int
) -> None:
    settings = replace(SETTINGS, path="tunnel", link=LinkSettings(latency=latency))

    enough = replace(GOOD, recreations_completed=needed)
    assert judge("keep", settings, enough, ENOUGH)[0] == "kept"
    few = replace(GOOD, recreations_completed=needed - 1)
    assert judge("keep", settings, few, ENOUGH)[0] == "invalid"


@pytest.mark.parametrize("records", ["timeout", "late"])
def test_where_no_lookup_ends_none_is_asked_for(records: Any) -> None:
    none = replace(ENOUGH, lookups_finished=0)

    assert judge("keep", replace(SETTINGS, records=records), GOOD, none)[0] == "kept"


@pytest.mark.parametrize(
    ("policy", "control_loss", "wanted", "path"),
    [
        ("keep", 0.0, None, "tunnel"),
        ("keep", 0.0, "process", "process"),
        ("keep", 0.1, None, "process"),
        ("halt", 0.0, None, "process"),
        # Asked for with both policies: it is for the one that can.
        ("halt", 0.0, "tunnel", "process"),
    ],
)
def test_r41_only_keep_without_faults_goes_through_a_tunnel(
    policy: Policy, control_loss: float, wanted: Any, path: str
) -> None:
    settings = DemoSettings(link=LinkSettings(control_loss=control_loss), path=wanted)

    assert settings.path_of(policy) == path


def run(policy: Policy, verdict: Verdict) -> PolicyRun:
    return PolicyRun(policy, "process", GOOD, ENOUGH, verdict, [])


@pytest.mark.parametrize(
    ("keep", "halt", "expected"),
    [
        ("kept", "broken", "kept"),
        ("kept", None, "kept"),
        ("broken", "broken", "broken"),
        ("invalid", "broken", "invalid"),
        ("kept", "invalid", "invalid"),
        (None, "broken", "broken"),
    ],
)
def test_the_verdict_on_the_promise_is_that_of_keep(
    keep: Verdict | None, halt: Verdict | None, expected: Verdict
) -> None:
    runs: dict[Policy, PolicyRun] = {}
    if keep is not None:
        runs["keep"] = run("keep", keep)
    if halt is not None:
        runs["halt"] = run("halt", halt)

    assert overall(runs) == expected


def test_the_json_has_exactly_the_members_of_its_schema() -> None:
    result = to_json({"keep": run("keep", "kept")})

    assert {key: result[key] for key in ("schema", "verdict")} == {
        "schema": "firezone.demo/1",
        "verdict": "kept",
    }
    assert set(result["policies"]["keep"]) == {
        "path",
        "bytes",
        "sha256_equal",
        "resets",
        "lost",
        "duplicated",
        "reordered",
        "misdirected",
        "longest_gap_ms",
        "gap_p9999_ms",
        "recreations_completed",
        "held",
        "overwritten",
        "new_connections_current",
        "throughput_bits_per_second",
    }


HISTORY = [
    (100.0, "ipv4", ["a1", "a2"]),
    (110.0, "ipv4", ["b1"]),
    (112.0, "ipv4", ["c1"]),
    (111.0, "ipv6", ["x:1"]),
]


@pytest.mark.parametrize(
    ("address", "begin", "expected"),
    [
        ("a1", 105.0, True),
        ("b1", 105.0, False),
        ("a1", 112.9, True),
        ("a1", 113.1, False),
        ("b1", 114.9, True),
        ("b1", 115.1, False),
        ("c1", 200.0, True),
        ("x:1", 200.0, True),
        ("", 105.0, False),
    ],
)
def test_a_new_connection_is_current_within_two_seconds_and_a_lookup(
    address: str, begin: float, expected: bool
) -> None:
    assert is_current(Probe(begin, begin + 0.1, address), HISTORY) is expected
