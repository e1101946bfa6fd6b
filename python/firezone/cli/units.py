"""Durations, rates and shares as people write them: `20ms`, `200Mbit`, `30%`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BANDWIDTH", "DURATION", "SHARE"]

_NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z%/]*)\s*")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0}
_BITS: Final = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SHARES: Final = {"%": 0.01, "": 1.0}


class _Quantity(click.ParamType[float]):
    """A number with a unit.

    Args:
        name: Shown in the help.
        units: Unit in lower case to factor.
        example: For the message about a wrong one.
        zero_without_unit: Whether a bare 0 is clear enough.
    """

    def __init__(
        self, name: str, units: Mapping[str, float], example: str, *, zero_without_unit: bool
    ) -> None:
        self.name = name
        self._units = units
        self._example = example
        self._zero_without_unit = zero_without_unit

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number in the base unit."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _NUMBER.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a {self.name}; write it like {self._example}", param, ctx)
        number, unit = float(match[1]), match[2].lower().removesuffix("/s")
        if number == 0 and not unit and self._zero_without_unit:
            return 0.0
        if unit not in self._units:
            units = ", ".join(known for known in self._units if known)
            self.fail(
                f"{value!r} needs a unit, one of {units}; write it like {self._example}",
                param,
                ctx,
            )
        return number * self._units[unit]


class _Bandwidth(_Quantity):
    """Bits per second; `unlimited` is None."""

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Return whole bits per second, or None for no limit."""
        if isinstance(value, str) and value.strip().lower() == "unlimited":
            return None
        bits = int(super().convert(value, param, ctx))
        if bits < 1:
            self.fail(
                f"{value!r} lets nothing through; the least is 1bit, or unlimited", param, ctx
            )
        return bits


class _Share(_Quantity):
    """A probability."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return a number from 0 to 1."""
        share = super().convert(value, param, ctx)
        if share > 1:
            self.fail(f"{value!r} is more than 100%", param, ctx)
        return share


DURATION: Final = _Quantity("duration", _SECONDS, "20ms or 1.5s", zero_without_unit=True)
BANDWIDTH: Final = _Bandwidth("bandwidth", _BITS, "200Mbit", zero_without_unit=False)
SHARE: Final = _Share("share", _SHARES, "30%", zero_without_unit=True)
