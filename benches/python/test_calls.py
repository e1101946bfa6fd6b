"""What a call costs: empty beside a no-op in C, and packets beside the core alone."""

from __future__ import annotations

import gc
from itertools import repeat
from typing import TYPE_CHECKING

import pytest
from benches.python.harness import Row

from firezone.nat import FlowTable, PacketBatch, udp

if TYPE_CHECKING:
    from benches.python.harness import Measure

CLIENT, PROXY, REAL = "100.64.0.1", "100.96.0.1", "10.0.0.7"
CALLS = 2000
WORK = 4096
"""Packets of a round: small batches are translated so often."""
KNOWN = {PROXY: REAL}


def batch_of(count: int) -> PacketBatch:
    """Make datagrams of as many flows."""
    return PacketBatch([udp(CLIENT, 5000 + i, PROXY, 443, bytes(1200)) for i in range(count)])


def test_an_empty_batch(measure: Measure) -> None:
    """The call itself."""
    translate, nothing, batch = FlowTable(seed=1).translate_out, gc.isenabled, PacketBatch()

    def ours() -> None:
        for _ in repeat(None, CALLS):
            translate(batch, addresses=KNOWN, now=1.0)

    def peer() -> None:
        for _ in repeat(None, CALLS):
            nothing()

    row = Row("`translate_out`, a call", "empty batch", "no-op in C (`gc.isenabled`)", 0.1)
    measure(row, CALLS, ours=ours, peer=peer)


@pytest.mark.parametrize("count", [1, 16, 256, 4096])
@pytest.mark.parametrize("into", [False, True], ids=["new", "into"])
def test_packets(measure: Measure, count: int, into: bool) -> None:
    """Batches, per packet, beside the core alone with as many."""
    translate, batch = FlowTable(seed=1).translate_out, batch_of(count)
    memory = bytearray(batch.nbytes)

    def new() -> None:
        for _ in repeat(None, WORK // count):
            translate(batch, addresses=KNOWN, now=1.0)

    def lent() -> None:
        for _ in repeat(None, WORK // count):
            translate(batch, addresses=KNOWN, now=1.0, into=memory)

    what = "`translate_out(into=)`, per packet" if into else "`translate_out`, per packet"
    goal = 1 / 1.5 if count == 256 and not into else 0.0
    row = Row(what, f"batch of {count:,}", "the core alone", goal)
    measure.core(row, WORK, python=lent if into else new, words=("translate", str(count)))
