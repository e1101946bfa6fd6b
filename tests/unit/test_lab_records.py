"""What the site's records do over time."""

from __future__ import annotations

import pytest

from firezone.lab.records import MODES, Records

FIRST = ("10.77.0.11", "10.77.0.12", "10.77.0.13", "10.77.0.14")


def begun(mode: str, seed: int = 1) -> Records:
    records = Records(seed)
    records.begin(mode, 100.0)  # type: ignore[arg-type]
    return records


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_has_not_begun_changes_nothing(mode: str) -> None:
    records = Records(1, mode=mode)  # type: ignore[arg-type]

    assert records.answer("ipv4", 0.0).addresses == FIRST


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_has_ended_changes_nothing_more(mode: str) -> None:
    records = begun(mode)
    records.end()

    assert records.answer("ipv4", 105.0).addresses == FIRST


def test_rotate_changes_the_order_with_each_answer_and_nothing_else() -> None:
    records = begun("rotate")

    answers = [records.answer("ipv4", 100.0).addresses for _ in range(4)]

    assert len(set(answers)) == 4
    assert {frozenset(answer) for answer in answers} == {frozenset(FIRST)}


def test_replace_brings_other_addresses_more_than_twice_a_second() -> None:
    records = begun("replace")

    sets = [set(records.answer("ipv4", 100.0 + i / 4).addresses) for i in range(40)]

    for number, addresses in enumerate(sets):
        assert len(addresses) == 3
        assert not addresses & set(FIRST)
        assert all(addresses.isdisjoint(other) for other in sets[:number])


def test_lose_family_takes_each_family_away_for_longer_than_a_confirmation_and_back() -> None:
    records = begun("lose-family")
    families = ("ipv4", "ipv6")

    def present(at: float) -> list[str]:
        return [f for f in families if records.answer(f, 100.0 + at).addresses]  # type: ignore[arg-type]

    assert [present(at) for at in (0.0, 6.9, 7.5, 8.0, 14.9, 15.5)] == [
        ["ipv6"],
        ["ipv6"],
        ["ipv4", "ipv6"],
        ["ipv4"],
        ["ipv4"],
        ["ipv4", "ipv6"],
    ]


@pytest.mark.parametrize("mode", ["servfail", "refused", "nxdomain"])
def test_failures_have_their_code_and_no_address(mode: str) -> None:
    reply = begun(mode).answer("ipv6", 101.0)

    assert (reply.rcode, reply.addresses) == (mode.upper(), ())


def test_timeout_never_answers() -> None:
    assert begun("timeout").answer("ipv4", 101.0).delay is None


def test_late_answers_come_out_of_order_and_by_seed() -> None:
    def delays(seed: int) -> list[float | None]:
        records = begun("late", seed)
        return [records.answer("ipv4", 101.0).delay for _ in range(20)]

    assert delays(7) == delays(7)
    assert delays(7) != sorted(delays(7), key=lambda delay: delay or 0)
    assert all(0.2 <= (delay or 0) <= 3.0 for delay in delays(7))


def test_history_tells_which_addresses_were_served_from_when_on() -> None:
    records = begun("replace")
    for at in (100.0, 100.1, 100.3):
        records.answer("ipv4", at)

    assert records.history == [
        (100.0, "ipv4", ("10.77.1.1", "10.77.1.2", "10.77.1.3")),
        (100.3, "ipv4", ("10.77.1.4", "10.77.1.5", "10.77.1.6")),
    ]
