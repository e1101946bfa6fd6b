"""Policy, as pure functions."""

from __future__ import annotations

import datetime as dt
import random
from ipaddress import ip_address, ip_network
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone.portal.inputs import window_of
from firezone.portal.model import (
    Client,
    Conditions,
    Gateway,
    Policy,
    Resource,
    ResourceKind,
    Site,
    TimeWindow,
)
from firezone.portal.policy import (
    choose_gateway,
    decide,
    is_compatible,
    violated,
    visible,
    window_end,
)

NOW = 1_800_000_000
"""2027-01-15 08:00 UTC, a Friday."""
CLIENT = Client("c", "u", ip_address("192.0.2.7"), is_verified=False)
SITE = Site("s", "main")


def moment(text: str, zone: str = "UTC") -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def policy(number: str = "p", **conditions: Any) -> Policy:
    return Policy(number, "g", "r", Conditions(**conditions))


@pytest.mark.parametrize(
    ("windows", "now", "end"),
    [
        (["fri 08:00-12:00"], "2027-01-15T08:00:00", "2027-01-15T12:00:00"),
        (["fri 08:00-12:00"], "2027-01-15T11:59:59", "2027-01-15T12:00:00"),
        (["fri 08:00-12:00"], "2027-01-15T12:00:00", "2027-01-15T12:00:00"),
        (["fri 08:00-12:00"], "2027-01-15T07:59:59", "2027-01-15T07:59:59"),
        (["thu 08:00-12:00"], "2027-01-15T08:00:00", "2027-01-15T08:00:00"),
        (["fri 08:00-12:00", "fri 12:00-18:00"], "2027-01-15T09:00:00", "2027-01-15T18:00:00"),
        (["fri 20:00-24:00", "sat 00:00-04:00"], "2027-01-15T21:00:00", "2027-01-16T04:00:00"),
        (["fri 08:00-18:00", "fri 09:00-10:00"], "2027-01-15T09:30:00", "2027-01-15T18:00:00"),
    ],
)
def test_a_window_is_open_until_its_end(windows: list[str], now: str, end: str) -> None:
    assert window_end([window_of(text) for text in windows], moment(now)) == moment(end)


def test_windows_of_all_days_and_hours_never_close() -> None:
    assert window_end([window_of("mon-sun 00:00-24:00")], NOW) is None


def test_a_window_follows_the_clock_of_its_zone_when_that_is_put_forward() -> None:
    window = [window_of("sun 01:00-04:00 Europe/Berlin")]

    # On this day 02:00 is followed by 03:00: the window has two hours.
    opens = moment("2027-03-28T01:00:00", "Europe/Berlin")
    assert window_end(window, opens) == opens + 2 * 3600
    assert window_end(window, opens - 1) == opens - 1


@given(
    st.integers(NOW - 10**8, NOW + 10**8),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
def test_a_window_says_what_a_clock_on_the_wall_says(
    now: int, days: set[int], start: int, end: int
) -> None:
    wall = dt.datetime.fromtimestamp(now, dt.UTC)
    minute = wall.hour * 60 + wall.minute
    is_open = wall.weekday() in days and start <= minute < end

    window = TimeWindow(frozenset(days), start, end)

    assert (window_end([window], now) != now) == is_open


def test_each_condition_that_does_not_hold_is_named() -> None:
    asked = Conditions((window_of("sat 08:00-12:00"),), (ip_network("10.0.0.0/8"),), True)
    verified = Client("c", "u", ip_address("10.1.2.3"), is_verified=True)

    assert violated(asked, CLIENT, NOW) == ("remote_ip", "current_utc_datetime", "client_verified")
    assert violated(asked, verified, NOW + 86400) == ()
    assert violated(Conditions(), CLIENT, NOW) == ()


def test_an_address_that_is_not_known_is_in_no_network() -> None:
    asked = Conditions(remote_ip=(ip_network("0.0.0.0/0"), ip_network("::/0")))

    assert violated(asked, Client("c", "u", None, is_verified=False), NOW) == ("remote_ip",)
    assert (
        violated(asked, Client("c", "u", ip_address("2001:db8::1"), is_verified=False), NOW) == ()
    )


def test_a_resource_is_seen_by_a_policy_that_holds_and_with_a_site() -> None:
    def resource(number: str, site: Site | None = SITE) -> Resource:
        return Resource(number, ResourceKind.DNS, number, "x.example", site=site)

    offers = [
        (resource("b"), policy()),
        (resource("b"), policy("q", client_verified=True)),
        (resource("a"), policy()),
        (resource("none"), policy(client_verified=True)),
        (resource("lost", None), policy()),
        (resource("off"), Policy("p", "g", "off", disabled_at=1)),
    ]

    assert [one.id for one in visible(offers, CLIENT, NOW)] == ["a", "b"]


def test_access_ends_with_the_token_or_the_window_whichever_is_first() -> None:
    window = policy(time_windows=(window_of("fri 08:00-12:00"),))
    noon = moment("2027-01-15T12:00:00")

    assert decide([policy()], CLIENT, NOW + 60, NOW).expires_at == NOW + 60
    assert decide([window], CLIENT, NOW + 60, NOW).expires_at == NOW + 60
    assert decide([window], CLIENT, noon + 60, NOW).expires_at == noon
    assert decide([window], CLIENT, None, NOW).expires_at == noon


def test_the_policy_that_grants_for_the_longest_is_taken() -> None:
    short = policy("short", time_windows=(window_of("fri 08:00-09:00"),))
    long = policy("long", time_windows=(window_of("fri 08:00-12:00"),))
    never = policy("never", client_verified=True)

    for order in ([short, never, long], [long, short, never]):
        taken = decide(order, CLIENT, NOW + 86400, NOW)
        assert taken.policy == long
        assert taken.violated == ()


def test_what_no_policy_grants_names_every_condition() -> None:
    refused = decide(
        [policy(client_verified=True), policy(remote_ip=(ip_network("10.0.0.0/8"),))],
        CLIENT,
        None,
        NOW,
    )

    assert refused.policy is None
    assert refused.violated == ("client_verified", "remote_ip")
    disabled = Policy("p", "g", "r", disabled_at=NOW)
    assert decide([disabled], CLIENT, None, NOW).policy is None
    assert decide([policy()], CLIENT, NOW, NOW).policy is None


@pytest.mark.parametrize(
    ("client", "gateway", "works"),
    [
        ("1.5.12", "1.6.1", True),
        ("1.5.12", "1.4.0", True),
        ("1.5.12", "1.5.0-rc1", True),
        ("1.5.12", "1.7.0", False),
        ("1.5.12", "2.5.0", False),
        ("1.5.12", None, False),
        (None, None, True),
        (None, "9.9.9", True),
        ("rubbish", "0.1.0", True),
    ],
)
def test_versions_work_together_if_they_are_neighbours(
    client: str | None, gateway: str | None, works: bool
) -> None:
    assert is_compatible(client, gateway) is works


def test_a_gateway_that_is_connected_is_preferred_then_the_newest() -> None:
    online = [Gateway("a", "s", "1.5.9"), Gateway("b", "s", "1.6.0"), Gateway("c", "s", "1.6.0")]
    chance = random.Random(1)  # noqa: S311 - a test's

    assert choose_gateway(online, ["x", "c", "a"], "1.5.12", chance) == online[2]
    taken = {choose_gateway(online, [], "1.5.12", chance) for _ in range(50)}
    assert taken == {online[1], online[2]}
    assert choose_gateway([], ["a"], "1.5.12", chance) == "offline"
    assert choose_gateway(online, ["a"], "3.0.0", chance) == "version_mismatch"
