"""When the portal is tried again, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers

from firezone.signaling.answers import LONGEST_DELAY, Answer, classify
from firezone.signaling.backoff import Backoff

PROBLEM = {"Content-Type": "application/problem+json; charset=utf-8"}
NOW = 1_900_000_000.0


def middle() -> float:
    return 0.5


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return classify(status, Headers(headers | PROBLEM), body, NOW)


def test_a_portal_that_was_never_there_is_given_up_soon() -> None:
    backoff = Backoff(None, middle)

    assert [backoff.delay(0.0) for _ in range(17)] == [1.0] * 15 + [None] * 2


def test_one_that_was_there_is_tried_less_and_less() -> None:
    backoff = Backoff(None, middle)
    backoff.joined()

    delays = [backoff.delay(0.0) for _ in range(14)]

    assert delays[:4] == [0.5, 0.75, 1.125, 1.6875]
    assert delays[-1] == 60.0


@pytest.mark.parametrize("partition", [0.0, 100.0])
def test_a_partition_ends(partition: float) -> None:
    backoff = Backoff(partition, middle)
    backoff.joined()

    assert (backoff.delay(1000.0) is None) == (partition == 0.0)
    assert backoff.delay(1100.0) is None
    backoff.joined()
    assert (backoff.delay(1200.0) is None) == (partition == 0.0)


def test_a_wish_to_connect_starts_anew() -> None:
    backoff = Backoff(None, middle)
    backoff.joined()
    for _ in range(5):
        backoff.delay(0.0)

    backoff.reset()

    assert backoff.delay(0.0) == 0.5


@given(draws=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_delays_vary_within_bounds(draws: list[float]) -> None:
    numbers = iter(draws)
    backoff = Backoff(None, lambda: next(numbers))
    backoff.joined()

    delays = [backoff.delay(0.0) for _ in draws]

    interval = 0.5
    for delay in delays:
        assert delay is not None
        assert interval / 2 <= delay <= min(60.0, interval * 1.5)
        interval = min(interval * 1.5, 60.0)


@pytest.mark.parametrize("code", ["invalid_token", "missing_token"])
def test_a_bad_token_is_final_and_forgotten(code: str) -> None:
    got = answer(401, b'{"code": "%s", "detail": "it has expired"}' % code.encode())

    assert got == Answer(
        f"the portal answered 401 {code}: it has expired", is_final=True, is_token_bad=True
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code": 7}', b'{"code": "other"}'])
def test_another_401_is_final_and_keeps_the_token(body: bytes) -> None:
    got = answer(401, body, **{"Retry-After": "1"})

    assert got.is_final
    assert not got.is_token_bad
    assert got.retry_after is None


def test_a_code_counts_in_a_problem_alone() -> None:
    body = b'{"code": "invalid_token"}'

    assert not classify(401, {"Content-Type": "application/json"}, body, NOW).is_token_bad


@pytest.mark.parametrize("status", [200, 302, 400, 402, 403, 408, 409, 429, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    got = answer(status, b'{"code": "invalid_token"}')

    assert not got.is_final
    assert got.retry_after is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", 1.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Sun, 17 Mar 2030 17:46:50 GMT", 10.0),
        ("Sun, 17 Mar 2030 17:46:50 -0000", 10.0),
        ("Sun, 17 Mar 2030 17:46:30 GMT", 0.0),
        ("9" * 400, LONGEST_DELAY),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_a_portal_says_when(value: str, expected: Any) -> None:
    assert answer(503, **{"Retry-After": value}).retry_after == expected


@given(status=st.integers(100, 599), body=st.binary(), value=st.text())
def test_no_answer_breaks_us(status: int, body: bytes, value: str) -> None:
    found = classify(status, {"Retry-After": value, **PROBLEM}, body, NOW)

    assert found.is_final == (status == 401)
    assert found.retry_after is None or 0 <= found.retry_after <= LONGEST_DELAY
