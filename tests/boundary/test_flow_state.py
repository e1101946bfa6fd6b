"""Flows of the scripting API as rows, counters, and bytes that cross to another table."""

from __future__ import annotations

import dataclasses
import ipaddress

import numpy as np
import pytest

from firezone.errors import FirezoneError, InvalidArgument
from firezone.nat import (
    Flow,
    FlowTable,
    PacketBatch,
    PacketBuffer,
    ResourceNat,
    Translations,
    tcp,
    udp,
)

CLIENT, PROXY, REAL = "100.64.0.1", "100.96.0.1", "127.0.0.7"


def used() -> FlowTable:
    """Return a table with flows of two Clients, one of them answered, and a port that rests."""
    table = FlowTable(seed=1)
    for peer in range(2):
        batch = PacketBatch([udp(CLIENT, 1 + i, PROXY, 53, b"q") for i in range(5)])
        table.translate_out(batch, addresses={PROXY: REAL}, now=10.0, peer=peer)
    table.translate_in(PacketBatch([udp(REAL, 53, CLIENT, 1, b"a")]), now=11.0)
    table.translate_out(
        PacketBatch([tcp(CLIENT, 9, "100.96.0.2", 80)]), addresses={"100.96.0.2": REAL}, now=12.0
    )
    table.end_proxy("100.96.0.2", now=13.0)
    return table


def by_tuple(table: FlowTable) -> dict[tuple[int, int], Flow]:
    return {(flow.peer, flow.client_port): flow for flow in table.flows()}


def test_r38_flows_cross_to_another_table_with_all_that_counts() -> None:
    table, other = used(), FlowTable(seed=99)

    imported = other.import_state(table.export_state(now=20.0), now=1000.0, since=2.0)

    assert (imported.flows, imported.rests, imported.left_out) == (10, 1, 0)
    before, after = by_tuple(table), by_tuple(other)
    assert after.keys() == before.keys()
    for key, flow in after.items():
        moved = dataclasses.replace(
            flow, opened=flow.opened - 978.0, last_seen=flow.last_seen - 978.0
        )
        assert moved == before[key]
    back = other.translate_in(PacketBatch([udp(REAL, 53, CLIENT, 1, b"a")]), now=1000.0)
    assert back.packets[0] == udp(PROXY, 53, CLIENT, 1, b"a")
    counters = other.counters()
    assert (counters.live, counters.resting) == (10, 1)


def test_r38_state_is_taken_whole_or_not_at_all() -> None:
    state = used().export_state(now=20.0)

    for wrong, why in (
        (b"nonsense", "no file of NAT state"),
        (state[:-1], "not whole"),
        (state[:40] + bytes([state[40] ^ 1]) + state[41:], "damaged"),
    ):
        table = FlowTable()
        with pytest.raises(InvalidArgument, match=why) as refused:
            table.import_state(wrong, now=0.0)
        assert isinstance(refused.value, FirezoneError)
        assert table.flows() == []
    with pytest.raises(InvalidArgument, match="before the first packet"):
        used().import_state(state, now=0.0)


def test_rows_and_counters_are_frozen() -> None:
    table = used()
    [moved] = [event for event in table.events() if event.event == "closed"]

    assert (moved.reason, moved.flow.protocol, moved.flow.client_port) == ("proxy_moved", "tcp", 9)
    for row in (
        moved,
        moved.flow,
        table.counters(),
        PacketBuffer().counters(),
        ResourceNat().counters(),
        Translations().counters(),
    ):
        field = dataclasses.fields(row)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(row, field, None)
        assert not hasattr(row, "__dict__")


def test_columns_of_flows_say_what_their_rows_say() -> None:
    table = used()
    table.translate_out(
        PacketBatch([udp("fd00::1", 7, "fd00:2021:1111:8000::1", 53, b"q")]),
        addresses={"fd00:2021:1111:8000::1": "fd77::7"},
        now=14.0,
    )

    flows, columns = table.flows(), table.columns()

    assert len(flows) == 11
    same = (
        "peer", "client_port", "remote_port", "outside_port", "answered", "sent_bytes",
        "sent_packets", "received_bytes", "received_packets", "opened", "last_seen",
    )  # fmt: skip
    for name in same:
        assert getattr(columns, name).tolist() == [getattr(flow, name) for flow in flows]
    assert columns.protocol.tolist() == [17] * 11
    for column, texts in ((columns.proxy, [flow.proxy for flow in flows]),
                          (columns.real, [flow.real for flow in flows])):  # fmt: skip
        assert column.shape == (11, 16)
        found = [ipaddress.IPv6Address(bytes(row)) for row in np.asarray(column)]
        assert [str(address.ipv4_mapped or address) for address in found] == texts
    assert columns.answered.readonly


def test_the_same_addresses_need_not_be_the_same_dict() -> None:
    table, known = FlowTable(seed=1), {PROXY: REAL}
    packet = PacketBatch([udp(CLIENT, 1, PROXY, 53, b"q")])
    table.translate_out(packet, addresses=known, now=0.0)

    known[PROXY] = "127.0.0.8"  # the same dict, and it says something else now
    other = PacketBatch([udp(CLIENT, 2, PROXY, 53, b"q")])
    moved = table.translate_out(other, addresses=known, now=0.0)
    none = table.translate_out(
        PacketBatch([udp(CLIENT, 3, PROXY, 53, b"q")]), addresses={}, now=0.0
    )

    assert moved.packets[0][16:20] == bytes([127, 0, 0, 8])
    assert none.verdicts == ["no_address"]
    assert {flow.client_port: flow.real for flow in table.flows()} == {1: REAL, 2: "127.0.0.8"}
