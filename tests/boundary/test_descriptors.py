"""Descriptors that a former process left: what becomes of them when one of them is wrong."""

from __future__ import annotations

import json
import os
import socket

import pytest

from firezone import _core

CONFIG = {
    "role": {
        "gateway": {
            "cache_floor": 1.0,
            "failure_cache": 5.0,
            "own_addresses": [],
            "allow_real": [],
        }
    },
    "tun": "tun-nowhere",
    "ipv4": "100.64.0.2",
    "ipv6": "fd00:2021:1111::2",
    "port": 0,
    "buffer": {"queue_bytes": 1, "queue_packets": 1, "total_bytes": 1, "max_age": 1.0},
}
KEY = bytes(range(32))


def start(descriptors: list[tuple[str, int]]) -> None:
    _core.Endpoint(json.dumps(CONFIG), KEY, descriptors)


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_all_of_them_are_closed_if_one_is_not_open() -> None:
    first, second, gone = (os.open(os.devnull, os.O_RDWR) for _ in range(3))
    os.close(gone)

    with pytest.raises(ValueError, match=rf"descriptor {gone} \(udp\) is not open"):
        start([("tun", first), ("udp", gone), ("sessions", second)])

    assert [is_open(first), is_open(second)] == [False, False]


def test_sessions_are_not_taken_by_a_core_that_has_no_device() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"sessions")
        device = os.open(os.devnull, os.O_RDWR)

        with pytest.raises(ValueError, match="no TUN device"):
            start([("tun", device), ("sessions", os.dup(there.fileno()))])

        assert there.recv(100, socket.MSG_DONTWAIT) == b"sessions"
