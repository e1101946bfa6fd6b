"""One flow table and the same batches in many threads: nothing crashes, nothing is lost."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from firezone.nat import FlowTable, PacketBatch, PacketBuffer, udp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENT, PROXY, REAL = "100.64.0.1", "100.96.0.1", "10.0.0.7"
WORKERS = 6
ROUNDS = 60
SIZES = (1, 16, 100, 129, 400)
"""Batches on both sides of the size from which other threads run."""


@pytest.fixture(autouse=True)
def _hurried_switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run(works: list[Callable[[], None]]) -> None:
    """Run all at once; raise what one of them raised."""
    failed: list[BaseException] = []
    begin = threading.Barrier(len(works))

    def guarded(work: Callable[[], None]) -> None:
        begin.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_many_threads_use_one_table_and_no_packet_is_lost() -> None:
    table = FlowTable(flows_per_peer=4096)
    most = max(SIZES)
    out = {
        size: PacketBatch([udp(CLIENT, 1024 + i, PROXY, 53, bytes(i % 50)) for i in range(size)])
        for size in SIZES
    }
    back = {
        size: PacketBatch([udp(REAL, 53, CLIENT, 1024 + i, b"a") for i in range(size)])
        for size in SIZES
    }
    done = threading.Event()

    def worker(peer: int) -> None:
        memory = bytearray(out[most].nbytes)
        for turn in range(ROUNDS):
            size = SIZES[(turn + peer) % len(SIZES)]
            into = memory if turn % 2 else None
            now = 1.0 + turn / 1000
            sent = table.translate_out(
                out[size], addresses={PROXY: REAL}, now=now, peer=peer, into=into
            )
            assert sent.verdicts.count("translated") == size == len(sent.packets)
            assert sent.packets[size - 1] == udp(
                CLIENT, 1024 + size - 1, REAL, 53, bytes((size - 1) % 50)
            )
            got = table.translate_in(back[size], now=now, peer=peer)
            assert bytes(got.verdicts) == bytes(size)
            del sent, got

    def watcher() -> None:
        while not done.is_set():
            state = table.export_state(now=2.0)
            again = FlowTable(flows_per_peer=4096)
            assert again.import_state(state, now=2.0).left_out == 0
            assert len(table.flows()) <= table.counters().opened
            assert table.counters().live <= WORKERS * most
            table.advance(1.0)

    watch = threading.Thread(target=watcher)
    watch.start()
    try:
        run([lambda peer=peer: worker(peer) for peer in range(WORKERS)])  # type: ignore[misc]
    finally:
        done.set()
        watch.join()

    counters, flows = table.counters(), table.flows()
    packets = sum(SIZES[(turn + peer) % 5] for turn in range(ROUNDS) for peer in range(WORKERS))
    assert counters.live == counters.opened == len(flows) == WORKERS * most
    assert sum(flow.sent_packets for flow in flows) == packets
    assert sum(flow.received_packets for flow in flows) == packets
    assert len(table.events()) + counters.events_dropped == counters.opened


def test_threads_that_write_to_one_memory_harm_nothing_else() -> None:
    """Two threads write to one memory: bytes may be of either, nothing else happens."""
    table = FlowTable()
    batch = PacketBatch([udp(CLIENT, 1024 + i, PROXY, 53, b"x") for i in range(300)])
    memory = bytearray(batch.nbytes)

    def work() -> None:
        for _ in range(ROUNDS):
            sent = table.translate_out(batch, addresses={PROXY: REAL}, now=1.0, into=memory)
            again = table.translate_in(sent.packets, now=1.0, into=memory)
            assert (len(sent.packets), len(again.verdicts)) == (300, 300)
            assert len(sent.packets.columns().verdict) == 300

    run([work] * 4)

    assert table.counters().live == 300


def test_many_threads_use_one_packet_buffer_and_nothing_is_lost() -> None:
    buffer = PacketBuffer(queue_packets=100_000, queue_bytes=1 << 26)
    queues = [buffer.open(now=0.0) for _ in range(WORKERS)]
    drained = [0] * WORKERS
    stored = [0] * WORKERS

    def work(place: int) -> None:
        for turn in range(ROUNDS):
            batch = PacketBatch(
                [udp(CLIENT, 1024 + i, PROXY, 53, bytes([place, turn])) for i in range(40)]
            )
            outcomes = buffer.push(queues[place], batch, now=turn / 10)
            stored[place] += outcomes.count("stored")
            drained[place] += len(buffer.drain(queues[place], most=30))
        drained[place] += len(buffer.drain(queues[place]))

    run([lambda place=place: work(place) for place in range(WORKERS)])  # type: ignore[misc]

    assert drained == stored
    counters = buffer.counters()
    assert (counters.stored, counters.released) == (sum(stored), sum(drained))
