"""The scripting API over the core: batches in and out, held against scapy, which is not ours."""

from __future__ import annotations

import array
import doctest
import ipaddress
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from firezone.errors import InvalidArgument
from firezone.nat import (
    FlowTable,
    PacketBatch,
    PacketBuffer,
    Pair,
    ResourceNat,
    Translations,
    tcp,
    udp,
)

ROOT = Path(__file__).parents[2]
CLIENT = "100.64.0.1"
PROXY = "100.96.0.1"
REAL = "10.0.0.7"
GATEWAY_ID = "00000000-0000-0000-0000-000000000002"
CLIENT_ID = "00000000-0000-0000-0000-000000000001"
RESOURCE_ID = "00000000-0000-0000-0000-000000000003"
PROXIES = [
    *(f"100.96.0.{i}" for i in range(1, 5)),
    *(f"fd00:2021:1111:8000::{i}" for i in range(4)),
]


def recomputed(packet: bytes) -> bytes:
    """Return the packet as scapy builds it anew, every checksum from nothing."""
    parsed = IPv6(packet) if packet[0] >> 4 == 6 else IP(packet)
    for layer in (IP, UDP, TCP):
        if layer in parsed:
            del parsed[layer].chksum
    return bytes(parsed)


def test_a_batch_takes_any_buffer_and_exports_one_without_a_copy() -> None:
    packet = udp(CLIENT, 1, PROXY, 2, b"x")
    given = [packet, bytearray(packet), memoryview(packet), array.array("B", packet)]

    batch = PacketBatch(given)

    assert len(batch) == 4
    assert [batch[i] for i in range(4)] == [packet] * 4
    assert batch[-1] == packet
    view = memoryview(batch)
    assert view.readonly
    assert view.nbytes == batch.nbytes == 4 * len(packet)
    assert batch.offsets == [i * len(packet) for i in range(4)]
    assert bytes(view[batch.offsets[1] : batch.offsets[2]]) == packet


def test_an_exported_view_outlives_its_batch() -> None:
    batch = PacketBatch([b"abc", b"defg"])
    view = memoryview(batch)
    del batch

    assert bytes(view) == b"abcdefg"


def test_a_batch_is_made_of_one_buffer_and_offsets() -> None:
    batch = PacketBatch.from_buffer(b"abcdefg", [0, 3])

    assert [batch[0], batch[1]] == [b"abc", b"defg"]


@pytest.mark.parametrize("offsets", [[1], [0, 5, 3], [0, 99]])
def test_offsets_that_do_not_fit_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets"):
        PacketBatch.from_buffer(b"abcdefg", offsets)


def test_a_packet_that_is_not_there_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        PacketBatch([b"x"])[1]


@pytest.mark.parametrize(
    ("source", "destination"), [(CLIENT, PROXY), ("fd00:2021:1111::1", "fd00:2021:1111:8000::")]
)
def test_built_packets_are_what_scapy_builds(source: str, destination: str) -> None:
    for packet in (
        udp(source, 1000, destination, 53, b"payload"),
        tcp(source, 1000, destination, 80, sequence=7, acknowledgement=9, flags="PA", payload=b"x"),
    ):
        assert recomputed(packet) == packet


def test_r35_a_translated_packet_has_the_checksums_that_scapy_computes() -> None:
    table = FlowTable(seed=3)
    batch = PacketBatch(
        [
            udp(CLIENT, 1000, PROXY, 53, b"odd"),
            tcp(CLIENT, 1001, PROXY, 80, flags="S"),
            udp("fd00:2021:1111::1", 1002, "fd00:2021:1111:8000::1", 53, b"even"),
        ]
    )

    sent = table.translate_out(
        batch, addresses={PROXY: REAL, "fd00:2021:1111:8000::1": "fd77::7"}, now=0.0
    )

    assert sent.verdicts == ["translated"] * 3
    for i in range(3):
        assert recomputed(sent.packets[i]) == sent.packets[i]
    assert IP(sent.packets[0]).dst == REAL
    assert IPv6(sent.packets[2]).dst == "fd77::7"


def test_what_goes_out_and_back_is_the_packet_it_was() -> None:
    table = FlowTable(seed=1)
    table.translate_out(
        PacketBatch([udp(CLIENT, 1000, PROXY, 53, b"q")]),
        addresses={ipaddress.ip_address(PROXY): ipaddress.ip_address(REAL)},
        now=0.0,
    )

    back = table.translate_in(PacketBatch([udp(REAL, 53, CLIENT, 1000, b"a")]), now=1.0)

    assert back.packets[0] == udp(PROXY, 53, CLIENT, 1000, b"a")
    [flow] = table.flows()
    assert (flow.answered, flow.sent_packets, flow.received_packets) == (True, 1, 1)


def test_every_packet_gets_a_verdict() -> None:
    table = FlowTable()
    batch = PacketBatch(
        [udp(CLIENT, 1, PROXY, 2, b""), udp(CLIENT, 1, "100.96.0.9", 2, b""), b"\x45"]
    )

    out = table.translate_out(batch, addresses={PROXY: REAL}, now=0.0)
    stranger = table.translate_in(PacketBatch([udp("10.9.9.9", 1, CLIENT, 1, b"")]), now=0.0)

    assert out.verdicts == ["translated", "no_address", "malformed"]
    assert stranger.verdicts == ["no_flow"]


def test_r30_time_is_an_argument_and_ends_flows() -> None:
    table = FlowTable()
    table.translate_out(
        PacketBatch([udp(CLIENT, 1, PROXY, 2, b"")]), addresses={PROXY: REAL}, now=10.0
    )

    table.advance(309.0)
    assert len(table.flows()) == 1
    table.advance(312.0)

    assert table.flows() == []
    assert [(event.event, event.reason) for event in table.events()] == [
        ("opened", None),
        ("closed", "timeout"),
    ]
    late = table.translate_in(PacketBatch([udp(REAL, 2, CLIENT, 1, b"")]), now=313.0)
    assert late.verdicts == ["expired"]


def test_r12_a_full_queue_keeps_what_came_first() -> None:
    buffer = PacketBuffer(queue_packets=8)
    queue = buffer.open(now=0.0)
    batch = PacketBatch([udp(CLIENT, port, PROXY, 2, bytes([port])) for port in range(20)])

    outcomes = buffer.push(queue, batch, now=0.0)

    kept = outcomes.count("stored")
    assert 0 < kept <= 8
    drained = buffer.drain(queue)
    assert [drained[i] for i in range(len(drained))] == [batch[i] for i in range(kept)]
    assert buffer.held(queue)["packets"] == 0
    buffer.close(queue)
    with pytest.raises(ValueError, match="not open"):
        buffer.drain(queue)


def test_r41_a_ring_forgets_the_oldest() -> None:
    buffer = PacketBuffer()
    queue = buffer.open(now=0.0, overwrite=4)
    batch = PacketBatch([udp(CLIENT, port, PROXY, 2, b"") for port in range(1, 11)])
    buffer.push(queue, batch, now=0.0)

    drained = buffer.drain(queue)

    assert [UDP(drained[i][20:]).sport for i in range(4)] == [7, 8, 9, 10]
    assert buffer.counters().overwritten == 6


def test_r01_a_refresh_never_holds_what_passes() -> None:
    nat = ResourceNat(refresh_floor=0.0)
    nat.establish("a.corp", PROXIES, gateway=GATEWAY_ID, resource=RESOURCE_ID, now=0.0)
    ids = {"gateway": GATEWAY_ID, "resource": RESOURCE_ID}
    assert nat.decide("a.corp", 4, now=0.0, **ids) == "hold"
    [(gateway, announced)] = nat.transmits()
    assert gateway == GATEWAY_ID
    nat.status(
        {"resource": RESOURCE_ID, "domain": "a.corp", "status": "Active", "id": announced["id"],
         "ipv4": 2, "ipv6": 0},
        gateway=GATEWAY_ID,
        now=0.1,
    )  # fmt: skip
    assert nat.decide("a.corp", 4, now=0.1, **ids) == "pass"
    assert nat.decide("a.corp", 6, now=0.1, **ids) == "refuse"
    assert nat.families("a.corp") == (True, False)

    for second in range(1, 50):
        nat.query("a.corp", now=float(second))
        nat.advance(float(second))
        assert nat.decide("a.corp", 4, now=float(second), **ids) == "pass"


def test_r21_an_error_keeps_the_former_addresses() -> None:
    translations = Translations(cache_floor=0.0, failure_cache=0.0)
    translations.authorize(CLIENT_ID, RESOURCE_ID, "*.corp")
    message = {"resource": RESOURCE_ID, "domain": "a.corp", "proxy_ips": PROXIES, "id": 1, "run": 1}
    translations.assigned_ips(message, client=CLIENT_ID, now=0.0)
    for lookup, name, family in translations.lookups():
        assert name == "a.corp"
        addresses = [(REAL, 0)] if family == 4 else []
        translations.resolved(lookup, family, addresses, now=0.1)
    real = translations.find(PROXY, client=CLIENT_ID, now=0.2)
    assert real == ipaddress.ip_address(REAL)

    translations.assigned_ips({**message, "id": 2}, client=CLIENT_ID, now=1.0)
    for lookup, _, family in translations.lookups():
        translations.resolved(lookup, family, error="serv_fail", now=1.1)

    assert translations.find(PROXY, client=CLIENT_ID, now=1.2) == real
    statuses = [status for _, status in translations.transmits()]
    assert {status["status"] for status in statuses} == {"Active"}


def test_a_pair_carries_a_flow_through_a_name_in_virtual_time() -> None:
    pair = Pair(seed=7, data={"latency": 0.01}, control={"latency": 0.01})
    pair.authorize({"id": RESOURCE_ID, "type": "dns", "address": "*.corp"})
    pair.query("wiki.corp")
    pair.advance(0.05)
    events = [event for _, _, event in pair.events()]
    [assigned] = [event for event in events if event["type"] == "proxies_assigned"]
    for event in events:
        if event["type"] == "resolve_domain":
            found = [[REAL, 60]] if event["family"] == "ipv4" else []
            result = {"addresses": found} if found else "no_data"
            pair.command(
                "gateway",
                {"type": "domain_resolved", "lookup": event["lookup"],
                 "family": event["family"], "result": result},
            )  # fmt: skip
    pair.advance(1.0)
    pair.deliveries("client")
    pair.send("client", PacketBatch([udp(CLIENT, 5000, assigned["ipv4"][0], 80, b"hello")]))
    pair.advance(2.0)

    packets, times = pair.deliveries("gateway")

    assert times == [1.01]
    assert (IP(packets[0]).dst, bytes(UDP(packets[0][20:]).payload)) == (REAL, b"hello")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: udp("nonsense", 1, PROXY, 2, b""),
        lambda: udp(CLIENT, 1, "fd00::1", 2, b""),
        lambda: udp(CLIENT, 1, PROXY, 2, bytes(2000)),
        lambda: tcp(CLIENT, 1, PROXY, 2, flags="X"),
        lambda: FlowTable().advance(-1.0),
        lambda: FlowTable().advance(float("nan")),
        lambda: ResourceNat().establish("a", [], gateway=GATEWAY_ID, resource="x", now=0.0),
        lambda: Translations().authorize("not-a-uuid", RESOURCE_ID, "*"),
        lambda: Translations().authorize(CLIENT_ID, RESOURCE_ID, "a**b"),
        lambda: Translations().resolved(1, 4, now=0.0),
        lambda: Pair(data={"latensy": 1.0}),
        lambda: Pair().send("nobody", PacketBatch()),  # type: ignore[arg-type]
        lambda: Pair().command("client", {"type": "nonsense"}),
    ],
)
def test_a_wrong_argument_is_a_value_error(wrong: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        wrong()  # type: ignore[operator]


def test_messages_cross_as_objects_of_every_kind() -> None:
    pair = Pair()
    resource = {"id": RESOURCE_ID, "type": "dns", "address": "*.corp", "filters": []}
    pair.authorize(types.MappingProxyType(resource))
    pair.query("wiki.corp")
    pair.advance(1.0)

    events = {event["type"]: event for _, _, event in pair.events()}
    assert events["resolve_domain"]["name"] == "wiki.corp"
    assert isinstance(events["resolve_domain"]["lookup"], int)
    assert all(isinstance(address, str) for address in events["proxies_assigned"]["ipv4"])


def test_what_no_message_is_made_of_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    pair = Pair()

    for wrong, why in (
        ({"type": circle}, "too deep"),
        ({"type": float("nan")}, "not finite"),
        ({"type": 1 << 64}, "over 64 bits"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            pair.command("client", wrong)
    with pytest.raises(TypeError, match="bytes is none"):
        pair.command("client", {"type": b"bytes"})
    with pytest.raises(TypeError):
        pair.command("client", {1: "one"})  # type: ignore[dict-item]


def test_the_examples_of_the_documentation_run() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith("firezone.nat")]
    results = [doctest.testmod(module) for module in modules]

    assert sum(failed for failed, _ in results) == 0
    assert sum(tried for _, tried in results) > 10
    for example in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        done = subprocess.run(
            [sys.executable, "-c", example], capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout != ""
