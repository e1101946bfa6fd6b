"""Durations, rates and shares as people write them."""

from __future__ import annotations

import click
import pytest

from firezone.cli.units import BANDWIDTH, DURATION, SHARE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("1.5s", 1.5), ("0", 0.0), ("2 min", 120.0), ("5us", 5e-6)],
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("200Mbit", 200_000_000),
        ("1.5gbit/s", 1_500_000_000),
        ("64kbit", 64_000),
        ("unlimited", None),
    ],
)
def test_bandwidths(text: str, bits: int | None) -> None:
    assert BANDWIDTH.convert(text, None, None) == bits


@pytest.mark.parametrize(
    ("text", "share"), [("30%", 0.3), ("0", 0.0), ("0.25", 0.25), ("100%", 1.0)]
)
def test_shares(text: str, share: float) -> None:
    assert SHARE.convert(text, None, None) == pytest.approx(share)


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        (DURATION, "20", "needs a unit"),
        (DURATION, "soon", "like 20ms"),
        (DURATION, "-5ms", "like 20ms"),
        (DURATION, "5 parsecs", "needs a unit"),
        (BANDWIDTH, "200", "needs a unit"),
        (BANDWIDTH, "0bit", "lets nothing through"),
        (SHARE, "130%", "more than 100%"),
        (SHARE, "often", "like 30%"),
    ],
)
def test_what_is_none_is_told_apart_with_an_example(
    kind: click.ParamType[float], text: str, hint: str
) -> None:
    with pytest.raises(click.BadParameter, match=hint):
        kind.convert(text, None, None)
