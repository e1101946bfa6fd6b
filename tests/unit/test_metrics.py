"""Metrics: their text, and how it is served."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firezone.config import load
from firezone.errors import ConfigError
from firezone.metrics import exposition, served

STATE: dict[str, Any] = {
    "counters": {
        "forwarded": 7,
        "refused": {"filtered": 2, "no_access": 0, "errors_sent": 1},
        "flows": {"live": 3, "opened": 9, "timed_out": 4, "revoked": 1},
        "buffer": {"stored": 5, "peak_bytes": 1280},
        "datagrams": {"malformed": 1, "replayed": 2, "roamed": 1},
    },
    "io": {"tun_read": 11, "datagrams_dropped": 0},
    "peers": [
        {"name": 'a "quoted"', "connected": True, "sent_bytes": 10, "received_bytes": 20},
        {"name": "b"},
    ],
}


async def state() -> dict[str, Any]:
    return STATE


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_names_follow_the_conventions_and_reasons_are_labels() -> None:
    text = exposition("gateway", STATE)

    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    role = ("role", "gateway")
    names = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)), "no metric is told twice"
    assert samples[("firezone_icmp_errors_sent_total", role)] == 1
    assert ("firezone_packets_refused_total", ("reason", "errors_sent"), role) not in samples
    assert samples[("firezone_forwarded_total", role)] == 7
    assert samples[("firezone_packets_refused_total", ("reason", "filtered"), role)] == 2
    assert samples[("firezone_flows_live", role)] == 3
    assert samples[("firezone_flows_opened_total", role)] == 9
    assert samples[("firezone_flows_ended_total", ("reason", "timed_out"), role)] == 4
    assert samples[("firezone_buffer_peak_bytes", role)] == 1280
    assert samples[("firezone_datagrams_dropped_total", ("reason", "replayed"), role)] == 2
    assert samples[("firezone_datagrams_roamed_total", role)] == 1
    assert samples[("firezone_tun_read_total", role)] == 11
    assert samples[("firezone_peer_connected", ("peer", "b"), role)] == 0
    assert samples[("firezone_peer_sent_bytes_total", ("peer", 'a "quoted"'), role)] == 10


async def test_they_are_served_over_http_until_the_end() -> None:
    url = f"http://127.0.0.1:{(port := free_port())}/metrics"

    def scrape() -> str:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())

    before = set(threading.enumerate())
    async with served(f"127.0.0.1:{port}", "client", state):
        assert set(threading.enumerate()) > before
        assert await asyncio.to_thread(scrape) == exposition("client", STATE)
        assert await asyncio.to_thread(scrape) == exposition("client", STATE)

    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(scrape)


async def test_without_the_setting_nothing_is_served() -> None:
    before = set(threading.enumerate())

    async with served(None, "client", state):
        assert set(threading.enumerate()) == before, "no server waits"


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"

        with pytest.raises(ConfigError, match=f"metrics cannot be served at {address}") as caught:
            async with served(address, "client", state):
                pass

    assert caught.value.setting == "metrics"


@pytest.mark.parametrize("value", ["127.0.0.1:9090", "[::1]:9090"])
def test_the_setting(value: str) -> None:
    assert load("client", flags={"metrics": value}).settings.metrics == value


@pytest.mark.parametrize(
    "value", ["9090", "localhost:9090", "127.0.0.1:0", "::1:9090", "1.2.3.4:x"]
)
def test_a_wrong_setting(value: str) -> None:
    with pytest.raises(ConfigError, match="the command line: metrics: "):
        load("gateway", flags={"metrics": value})
