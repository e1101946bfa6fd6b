"""What taking over flows returns: the core makes it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Imported"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came over from another table, and what did not.

    >>> from firezone.nat import FlowTable
    >>> FlowTable().import_state(FlowTable().export_state(now=5.0), now=0.0)
    Imported(flows=0, rests=0, left_out=0)
    """

    flows: int
    """Flows."""
    rests: int
    """Ports that rest after a flow."""
    left_out: int
    """Flows and ports that did not come over."""
