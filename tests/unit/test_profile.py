"""Folded stacks are added up to shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from benches.profile.recording import record
from benches.profile.shares import Shares

STACKS = """\
fz-data-plane;start_thread;runtime::event_loop::EventLoop::run;__x64_sys_sendmsg;udp_sendmsg 60
fz-data-plane;start_thread;runtime::event_loop::EventLoop::run;nat::hit;nat::hit 20
fz-data-plane;[unknown];ring_seal 15
python 5
"""


def test_shares_are_of_all_time_by_thread_by_function_and_with_what_it_calls() -> None:
    shares = Shares.of(STACKS, most=10)

    assert shares.threads == pytest.approx({"fz-data-plane": 0.95, "python": 0.05})
    assert shares.own == pytest.approx(
        {"udp_sendmsg": 0.6, "nat::hit": 0.2, "ring_seal": 0.15, "python": 0.05}
    )
    assert shares.within == pytest.approx(
        {"runtime::event_loop::EventLoop::run": 0.8, "__x64_sys_sendmsg": 0.6, "nat::hit": 0.2}
    )


def test_only_the_largest_are_told() -> None:
    shares = Shares.of(STACKS, most=1)

    assert shares.lines() == [
        "  thread:",
        "    95.0 %  fz-data-plane",
        "  itself:",
        "    60.0 %  udp_sendmsg",
        "  with what it calls:",
        "    80.0 %  runtime::event_loop::EventLoop::run",
    ]


def test_nothing_recorded_is_no_share() -> None:
    assert Shares.of("", most=3) == Shares({}, {}, {})


def test_perf_goes_by_the_clock_and_by_frame_pointers() -> None:
    command = " ".join(record([7, 8], Path("x.data")))

    assert "-e cpu-clock" in command
    assert "--call-graph fp" in command
    assert command.endswith("-o x.data -p 7,8")
