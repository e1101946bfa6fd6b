"""What calls of the core return: it makes these itself, so that a call stays cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from firezone._core import PacketBatch, Verdicts

__all__ = ["Imported", "Translated"]


class Translated(NamedTuple):
    """Packets that were translated, and what became of each packet of the batch.

    >>> from firezone.nat import FlowTable, PacketBatch
    >>> packets, verdicts = FlowTable().translate_in(PacketBatch([b"?"]), now=0.0)
    >>> len(packets), verdicts
    (0, ['malformed'])
    """

    packets: PacketBatch
    """Those whose verdict is `translated`, in order."""
    verdicts: Verdicts
    """One per packet given: `translated`, `malformed`, `no_address`, `no_flow`, `expired`,
    `exhausted`, `capped` or `unsupported`. A sequence of these names; as a buffer, their codes."""


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
