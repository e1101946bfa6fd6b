"""The harness of the tunnel reads what programs and the kernel say."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from benches.macro import capture, iperf, latency, machine, syscalls, versions
from benches.macro.usage import TICK, Machine, parse_stat, parse_status

if TYPE_CHECKING:
    from pathlib import Path

TCP: dict[str, Any] = {
    "intervals": [
        {"sum": {"bytes": 100_000, "omitted": True}},
        {"sum": {"bytes": 300_000, "omitted": False}},
    ],
    "end": {
        "sum_sent": {"retransmits": 7},
        "sum_received": {"bits_per_second": 2.5e9},
    },
}
UDP: dict[str, Any] = {
    "end": {
        "sum": {"bits_per_second": 6e8, "packets": 1000, "lost_packets": 25},
        "streams": [{"udp": {"out_of_order": 3}}],
    }
}


def test_rates_count_without_the_beginning_and_bytes_with_it() -> None:
    result = iperf.read_tcp(TCP)

    assert (result.gbps, result.bytes, result.retransmits) == (2.5, 400_000, 7)
    assert result.packets == pytest.approx(400_000 / 1228)


def test_losses_of_udp_are_a_share() -> None:
    assert iperf.read_udp(UDP) == iperf.UdpResult(600, 0.025, 3, 1000)


@pytest.mark.parametrize("read", [iperf.read_tcp, iperf.read_udp])
def test_an_iperf3_that_failed_says_why(read: Any) -> None:
    with pytest.raises(ValueError, match="refused"):
        read({"error": "connection refused"})


def test_percentiles_are_of_what_came_back() -> None:
    said = "\n".join(f"64 bytes: icmp_seq={i} ttl=63 time={i}.5 ms" for i in range(1, 100))

    times = latency.read(said, sent=100)

    assert (times.p50, times.p99, times.answered) == (50.5, 99.5, 99)
    assert times.lost == pytest.approx(0.01)


def test_no_echo_is_no_latency() -> None:
    with pytest.raises(ValueError, match="no echo"):
        latency.read("100 packets transmitted, 0 received", sent=100)


def test_system_calls_are_read_of_both_counters() -> None:
    perf = "# started on Fri\n\n12345,,raw_syscalls:sys_enter,5000000000,100.00,,\n"
    strace = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.600000           3    200000           sendmsg
 40.00    0.400000           2    145000      1200 read
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000           2    345000      1200 total
"""

    assert syscalls.read_perf(perf) == 12345
    assert syscalls.read_strace(strace) == 345_000


def test_a_counter_that_saw_nothing_is_not_taken_for_none() -> None:
    with pytest.raises(ValueError, match="tracefs"):
        syscalls.read_perf("<not counted>,,raw:none,0,0,,")
    with pytest.raises(ValueError, match="strace"):
        syscalls.read_strace("")


def test_time_of_a_process_is_found_behind_any_name() -> None:
    fields = ["S", "1", "1", "1", "0", "-1", "4194304", "0", "0", "0", "0", "150", "50", "0", "0"]

    assert parse_stat(f"7 (a) b (c) {' '.join(fields)}") == (200 / TICK, False)
    fields[6] = str(0x00200000)
    assert parse_stat(f"7 (kworker/0:1) {' '.join(fields)}") == (200 / TICK, True)


def test_switches_are_those_of_both_kinds() -> None:
    status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n"

    assert parse_status(status) == 42


def test_others_are_what_is_neither_ours_nor_of_the_kernel_nor_idle() -> None:
    before = Machine.parse("cpu 0 0 0 0 0 0 0 0 0 0", kernel=0)
    ticks = [20 * TICK, 0, 20 * TICK, 50 * TICK, 0, 0, 5 * TICK, 5 * TICK]
    after = Machine.parse(f"cpu {' '.join(map(str, ticks))} 0 0", kernel=5)

    used = after.since(before)

    assert (used.total, used.busy, used.softirq, used.stolen) == (100, 45, 5, 5)
    # 45 busy, 5 of the kernel, 30 ours: 10 of others, and 5 stolen.
    assert used.others(ours=30) == pytest.approx(0.15)
    assert used.others(ours=100) == pytest.approx(0.05)


def test_the_processor_is_told_by_number_too() -> None:
    info = "cpu family\t: 6\nmodel\t\t: 207\nmodel name\t: Xeon\nflags\t\t: sse avx2 vaes\n"

    assert machine.model_of(info) == "Xeon (family 6, model 207)"
    assert machine.flags_of(info) == ["avx2", "vaes"]


def test_a_go_program_tells_its_module() -> None:
    said = (
        "x: go1.26\n\tpath\tgolang.zx2c4.com/wireguard\n\tmod\tgolang.zx2c4.com/wireguard\tv0.0.1\n"
    )

    assert versions.module_version(said) == "v0.0.1"


def udp_packet(number: int) -> bytes:
    header = bytes([0x45]) + bytes(8) + bytes([17]) + bytes(10)
    return header + bytes(8) + struct.pack("!IIi", 1, 2, number) + bytes(20)


def tcp_packet(sequence: int, length: int, port: int = 4000) -> bytes:
    header = bytes([0x45, 0]) + struct.pack("!H", 40 + length) + bytes(5) + bytes([6]) + bytes(10)
    return header + struct.pack("!HHI", port, 5201, sequence) + bytes(4) + bytes([0x50]) + bytes(7)


def test_numbers_tell_what_is_late_and_what_is_missing() -> None:
    seen = [udp_packet(number) for number in (1, 2, 4, 3, 7)]

    assert capture.order_of_numbers(seen) == capture.Order(packets=5, late=1, missing=2)


def test_segments_are_judged_flow_by_flow() -> None:
    one = [
        tcp_packet(0xFFFFFF9C, 100),
        tcp_packet(0, 100),
        tcp_packet(300, 100),
        tcp_packet(100, 100),
    ]
    other = [tcp_packet(5, 10, port=4001), tcp_packet(15, 0, port=4001)]

    assert capture.order_of_segments(one + other) == capture.Order(packets=5, late=1, missing=1)


def test_a_capture_gives_its_packets(tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    frame = bytes(14) + udp_packet(9)
    record = struct.pack("<IIII", 1, 0, len(frame), 1242)
    file.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 1) + (record + frame) * 2)

    assert list(capture.packets(file)) == [udp_packet(9)] * 2
