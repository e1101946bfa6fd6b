"""Batches in and out of files, columns and memory of the caller's, held against scapy and numpy."""

from __future__ import annotations

import array
import contextlib
import doctest
import io
import ipaddress
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader, PcapReader, wrpcap, wrpcapng

import firezone._core
import firezone.nat
from firezone.errors import CaptureUnreadable, FirezoneError, InvalidArgument
from firezone.nat import VERDICTS, FlowTable, PacketBatch, tcp, udp

if TYPE_CHECKING:
    from pathlib import Path

CLIENT, PROXY, REAL = "100.64.0.1", "100.96.0.1", "10.0.0.7"
TIMES = [1_700_000_000_123_456_789, 1_700_000_001_000_000_001, 1_700_000_002_500_000_000]


def three() -> PacketBatch:
    return PacketBatch(
        [
            udp(CLIENT, 5000, PROXY, 53, b"ping"),
            tcp("fd00::1", 40_000, "fd00::2", 443, payload=b"hello"),
            bytes(IP(src=CLIENT, dst=PROXY) / ICMP(id=77)),
        ]
    )


def packets(batch: PacketBatch) -> list[bytes]:
    return [batch[i] for i in range(len(batch))]


@pytest.mark.parametrize(
    "offsets", [[0, 3], array.array("I", [0, 3]), array.array("Q", [0, 3]), np.array([0, 3], "u8")]
)
def test_offsets_are_numbers_or_a_buffer_of_them(offsets: object) -> None:
    batch = PacketBatch.from_buffer(b"onethree", offsets)  # type: ignore[arg-type]

    assert packets(batch) == [b"one", b"three"]


@pytest.mark.parametrize("offsets", [[1], [0, 5, 4], [0, 9], array.array("H", [0, 3])])
def test_offsets_that_lead_astray_are_refused(offsets: object) -> None:
    with pytest.raises(InvalidArgument, match="offsets"):
        PacketBatch.from_buffer(b"onethree", offsets)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "reader"), [("pcap", PcapReader), ("pcapng", PcapNgReader)], ids=["pcap", "pcapng"]
)
def test_what_is_written_others_read(suffix: str, reader: type, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"

    getattr(three(), f"to_{suffix}")(file, timestamps=TIMES)

    with reader(str(file)) as frames:
        found = [(bytes(frame), math.floor(float(frame.time))) for frame in frames]
    assert found == [
        (packet, time // 10**9) for packet, time in zip(packets(three()), TIMES, strict=True)
    ]
    again = getattr(PacketBatch, f"from_{suffix}")(file)
    assert packets(again) == packets(three())
    assert again.timestamps.tolist() == TIMES
    assert again.timestamps.format == "Q"
    into = io.BytesIO()
    getattr(again, f"to_{suffix}")(into)
    assert into.getvalue() == file.read_bytes()


@pytest.mark.parametrize(("suffix", "write"), [("pcap", wrpcap), ("pcapng", wrpcapng)])
def test_what_others_write_is_read(suffix: str, write: object, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    frames = [IP(packet) if packet[0] >> 4 == 4 else IPv6(packet) for packet in packets(three())]
    for frame in frames[:1]:
        frame.time = 1_700_000_000.25
    write(str(file), frames[:1])  # type: ignore[operator]

    read = getattr(PacketBatch, f"from_{suffix}")

    for source in (file, str(file), file.read_bytes(), io.BytesIO(file.read_bytes())):
        batch = read(source)
        assert packets(batch) == packets(three())[:1]
        assert batch.timestamps.tolist() == [1_700_000_000_250_000_000]


def test_packets_of_no_capture_have_no_time() -> None:
    file = io.BytesIO()

    three().to_pcap(file)

    assert three().timestamps is None
    again = PacketBatch.from_pcap(file.getvalue()).timestamps
    assert again is not None
    assert again.tolist() == [0, 0, 0]


def test_a_capture_with_link_headers_says_how_to_lose_them(tmp_path: Path) -> None:
    file = tmp_path / "a.pcap"
    wrpcap(str(file), [Ether() / IP(dst=PROXY) / UDP()])

    with pytest.raises(CaptureUnreadable, match="link type ETHERNET") as refused:
        PacketBatch.from_pcap(file)

    assert isinstance(refused.value, FirezoneError)
    assert isinstance(refused.value, ValueError)
    assert "editcap -C 14 -T rawip" in str(refused.value.hint)


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_a_capture_that_breaks_off_says_how_far_it_is_whole(suffix: str) -> None:
    file = io.BytesIO()
    getattr(three(), f"to_{suffix}")(file)
    read = getattr(PacketBatch, f"from_{suffix}")

    for length in range(len(file.getvalue())):
        with contextlib.suppress(CaptureUnreadable):
            whole = read(file.getvalue()[:length])
            assert packets(whole) == packets(three())[: len(whole)]
    with pytest.raises(CaptureUnreadable, match="broken after 2 packets") as refused:
        read(file.getvalue()[:-1])
    assert refused.value.hint


def test_the_other_format_is_told() -> None:
    pcap, pcapng = io.BytesIO(), io.BytesIO()
    three().to_pcap(pcap)
    three().to_pcapng(pcapng)

    with pytest.raises(CaptureUnreadable, match="a pcapng file") as refused:
        PacketBatch.from_pcap(pcapng.getvalue())
    assert refused.value.hint == "read it with from_pcapng"
    with pytest.raises(CaptureUnreadable, match="a pcap file"):
        PacketBatch.from_pcapng(pcap.getvalue())
    with pytest.raises(CaptureUnreadable, match="no pcap file"):
        PacketBatch.from_pcap(b"nonsense")


def test_files_and_times_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pcap"):
        PacketBatch.from_pcap(tmp_path / "none.pcap")
    with pytest.raises(InvalidArgument, match="reading bytes"):
        PacketBatch.from_pcap(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="2 timestamps for 3 packets"):
        three().to_pcap(io.BytesIO(), timestamps=[1, 2])
    with pytest.raises(InvalidArgument, match="2106; write pcapng"):
        three().to_pcap(io.BytesIO(), timestamps=[2**32 * 10**9] * 3)
    with pytest.raises(InvalidArgument, match="262144"):
        PacketBatch([bytes(262_145)]).to_pcap(io.BytesIO())


def test_columns_say_what_scapy_says() -> None:
    batch = PacketBatch([*packets(three()), b"?"])

    columns = batch.columns()

    frames = [IP(batch[0]), IPv6(batch[1]), IP(batch[2])]
    for name, end in (("source", "src"), ("destination", "dst")):
        rows = np.asarray(getattr(columns, name))
        assert rows.shape == (4, 16)
        found = [ipaddress.IPv6Address(row.tobytes()) for row in rows]
        real = [str(address.ipv4_mapped or address) for address in found[:3]]
        assert real == [getattr(frame, end) for frame in frames]
        assert not rows[3].any()
    assert columns.source_port.tolist() == [5000, 40_000, 77, 0]
    assert columns.destination_port.tolist() == [53, 443, 0, 0]
    assert columns.protocol.tolist() == [17, 6, 1, 0]
    assert columns.length.tolist() == [len(packet) for packet in packets(batch)]
    assert columns.offset.tolist() == batch.offsets
    assert [VERDICTS[code] for code in columns.verdict] == ["undecided"] * 3 + ["malformed"]


def test_numpy_reads_columns_and_verdicts_without_a_copy() -> None:
    batch = three()
    columns = batch.columns()
    formats = {"source": "B", "source_port": "H", "protocol": "B", "length": "I", "offset": "Q"}

    for name, form in formats.items():
        view = getattr(columns, name)
        read = np.asarray(view)
        assert view.format == form
        assert view.readonly
        assert read.dtype == np.dtype(form)
        again = np.asarray(getattr(columns, name))
        assert read.__array_interface__["data"] == again.__array_interface__["data"]
        assert not read.flags.owndata
    verdicts = FlowTable().translate_in(batch, now=0.0).verdicts
    codes = np.asarray(verdicts)
    assert [VERDICTS[code] for code in codes] == ["no_flow"] * 3
    del batch, verdicts, columns
    assert read.tolist()[0] == 0
    assert codes.tolist() == [3, 3, 3]


def test_verdicts_become_a_column() -> None:
    batch = PacketBatch([udp(CLIENT, 1, PROXY, 2, b""), udp(CLIENT, 1, "100.96.0.9", 2, b"")])
    sent = FlowTable().translate_out(batch, addresses={PROXY: REAL}, now=0.0)

    columns = batch.columns(sent.verdicts)

    refused = np.asarray(columns.verdict) == VERDICTS.index("no_address")
    assert np.flatnonzero(refused).tolist() == [1]
    with pytest.raises(InvalidArgument, match="2 verdicts for 3 packets"):
        three().columns(sent.verdicts)


def test_verdicts_are_a_sequence_of_names() -> None:
    verdicts = FlowTable().translate_in(PacketBatch([b"?", udp(CLIENT, 1, PROXY, 2, b"")]), now=0.0)
    names = verdicts.verdicts

    assert list(names) == names.tolist() == ["malformed", "no_flow"]
    assert names == ["malformed", "no_flow"]
    assert names == ("malformed", "no_flow")
    assert names != ["malformed"]
    assert names != "malformed"
    assert (names[-1], names.count("no_flow"), "expired" in names) == ("no_flow", 1, False)
    with pytest.raises(IndexError):
        names[2]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 300])
def test_into_memory_of_the_caller_goes_what_else_is_returned(count: int) -> None:
    batch = PacketBatch(
        [
            b"?"
            if i % 7 == 3
            else udp(CLIENT, 5000 + i % 50, PROXY, 53, bytes([i % 256]) * (i % 90))
            for i in range(count)
        ]
    )
    one, other = FlowTable(seed=3), FlowTable(seed=3)
    memory = np.zeros(batch.nbytes + 5, "u1")

    plain = one.translate_out(batch, addresses={PROXY: REAL}, now=1.0)
    sent = other.translate_out(batch, addresses={PROXY: REAL}, now=1.0, into=memory)

    assert sent.verdicts == plain.verdicts
    assert sent.verdicts.count("translated") == len(sent.packets)
    assert packets(sent.packets) == packets(plain.packets)
    assert memory[: sent.packets.nbytes].tobytes() == bytes(plain.packets)
    assert not memory[sent.packets.nbytes :].any()
    assert sent.packets.offsets == plain.packets.offsets
    assert packets(plain.packets) == [
        udp(CLIENT, 5000 + i % 50, REAL, 53, bytes([i % 256]) * (i % 90))
        for i in range(count)
        if i % 7 != 3
    ]


def test_a_batch_over_memory_is_a_batch_like_another() -> None:
    memory = bytearray(2000)
    table = FlowTable()
    out = table.translate_out(
        PacketBatch([udp(CLIENT, 1, PROXY, 2, b"x")]), addresses={PROXY: REAL}, now=0.0, into=memory
    )
    with pytest.raises(BufferError):
        memory.clear()

    assert out.packets.columns().destination_port.tolist() == [2]
    file = io.BytesIO()
    out.packets.to_pcap(file)
    again = FlowTable().translate_in(out.packets, now=0.0, into=memory)
    assert again.verdicts == ["no_flow"]
    memory[0] = 0
    assert out.packets.columns().verdict.tolist() == [VERDICTS.index("malformed")]
    assert packets(PacketBatch.from_pcap(file.getvalue())) == [udp(CLIENT, 1, REAL, 2, b"x")]


def test_a_batch_is_translated_in_place() -> None:
    table, memory = FlowTable(), bytearray(100_000)
    many = [udp(CLIENT, 1 + i, PROXY, 2, bytes(i)) for i in range(200)]
    out = table.translate_out(PacketBatch(many), addresses={PROXY: REAL}, now=0.0, into=memory)
    replies = PacketBatch([udp(REAL, 2, CLIENT, 1 + i, bytes(i)) for i in range(200)])
    memory[: replies.nbytes] = bytes(replies)

    back = table.translate_in(out.packets, now=0.1, into=memory)

    assert packets(back.packets) == [udp(PROXY, 2, CLIENT, 1 + i, bytes(i)) for i in range(200)]


def test_memory_that_does_not_do_says_what_would() -> None:
    table, batch = FlowTable(), three()

    with pytest.raises(
        InvalidArgument, match=f"room for 10 bytes; this batch needs {batch.nbytes}"
    ):
        table.translate_in(batch, now=0.0, into=bytearray(10))
    with pytest.raises(InvalidArgument, match="read-only"):
        table.translate_in(batch, now=0.0, into=bytes(1000))
    with pytest.raises(InvalidArgument, match="contiguous"):
        table.translate_in(batch, now=0.0, into=np.zeros(2000, "u1")[::2])
    with pytest.raises(InvalidArgument, match="no address"):
        table.translate_out(batch, addresses={PROXY: "nonsense"}, now=0.0)
    with pytest.raises(InvalidArgument, match="below 16777216"):
        table.translate_in(batch, now=0.0, peer=1 << 24)

    assert table.counters().opened == 0


def test_the_examples_of_the_core_run() -> None:
    runner = doctest.DocTestRunner()
    names = {"PacketBatch": PacketBatch}
    for kind in (
        PacketBatch,
        firezone.nat.Columns,
        firezone.nat.Verdicts,
        firezone._core.FlowTable,
    ):
        for of in (kind, *vars(kind).values()):
            text = getattr(of, "__doc__", None) or ""
            example = doctest.DocTestParser().get_doctest(text, dict(names), kind.__name__, None, 0)
            runner.run(example)

    assert (runner.failures, runner.tries > 18) == (0, True)


def test_a_translation_is_its_packets_and_verdicts_whichever_is_asked_for_first() -> None:
    table, batch = FlowTable(seed=1), PacketBatch([udp(CLIENT, 1, PROXY, 2, b"a"), b"?"])
    made = [table.translate_out(batch, addresses={PROXY: REAL}, now=0.0) for _ in range(3)]

    packets, verdicts = made[0]
    assert (made[1].verdicts, made[2][0][0]) == (verdicts, packets[0])
    assert made[0].packets is packets is made[0][0] is made[0][-2]
    assert made[0].verdicts is verdicts is made[0][1] is made[0][-1]
    assert len(made[0]) == 2
    with pytest.raises(IndexError):
        made[0][2]
    assert repr(made[0]) == (
        f"Translated(packets={packets!r}, verdicts=['translated', 'malformed'])"
    )
