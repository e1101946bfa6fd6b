"""Counters of a running endpoint as Prometheus' text, on request over HTTP.

A scrape asks the core; nothing is counted here. Names end in `_total` where they only grow, and
what was refused or ended has a label `reason` instead of a name of its own for each.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from . import socket_address
from .errors import ConfigError
from .thread_names import name_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from prometheus_client.core import Metric

__all__ = ["exposition", "served"]

PATIENCE: Final = 8.0
"""Seconds that a scrape may take; Prometheus gives up after 10."""
_GAUGES: Final = frozenset(("live", "resting", "peak_bytes", "peak_packets"))
_ENDS: Final = ("timed_out", "displaced", "superseded", "proxy_moved", "revoked", "rebound")
_LOST: Final = (
    "malformed",
    "unknown_index",
    "unknown_key",
    "refused",
    "replayed",
    "handshakes_refused",
)
_BY_REASON: Final[dict[str, tuple[str, tuple[str, ...], str]]] = {
    "flows": ("flows_ended", _ENDS, "Flows that ended, by what ended them."),
    "datagrams": ("datagrams_dropped", _LOST, "Datagrams of peers that were dropped, by reason."),
}
_ANSWERS: Final = ("errors_sent", "errors_limited")
"""Counted beside the reasons: what became of the answers."""
_IO: Final = {"datagrams_dropped": "socket_datagrams_dropped"}
"""Names that would else be those of others."""
_REFUSED: Final = "Packets that were not forwarded, by reason."

State = dict[str, Any]
"""`counters`, the core's row; `io`, those of device and sockets; `peers`, with their names."""


def exposition(role: str, state: State) -> str:
    """Return the text of all metrics.

    Args:
        role: `client` or `gateway`, a label of every metric.
        state: What the endpoint told.
    """
    return generate_latest(_registry(lambda: _families(role, state))).decode()


@contextlib.asynccontextmanager
async def served(
    address: str | None, role: str, state: Callable[[], Awaitable[State]]
) -> AsyncIterator[None]:
    """Serve the metrics over HTTP meanwhile.

    Args:
        address: `address:port`; None serves nothing.
        role: Of the endpoint.
        state: Asked at each scrape.

    Raises:
        ConfigError: The address cannot be used.
    """
    if address is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def scrape() -> list[Metric]:
        # Each request has a thread of its own.
        name_thread("fz-metrics")
        asked = asyncio.run_coroutine_threadsafe(_awaited(state), loop)
        return _families(role, asked.result(PATIENCE))

    host, port = socket_address.parse(address)
    try:
        server, thread = start_http_server(port, host, _registry(scrape))
        name_thread("fz-metrics", thread)
    except OSError as error:
        message = f"metrics cannot be served at {address}: {error.strerror or error}"
        hint = "set metrics to an address of this host and a free port"
        raise ConfigError(message, setting="metrics", hint=hint) from error
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


async def _awaited(state: Callable[[], Awaitable[State]]) -> State:
    return await state()


class _Scrape(Collector):
    def __init__(self, families: Callable[[], list[Metric]]) -> None:
        self._families = families

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the core."""
        return []

    def collect(self) -> Iterable[Metric]:
        return self._families()


def _registry(families: Callable[[], list[Metric]]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(families))
    return registry


def _families(role: str, state: State) -> list[Metric]:
    families: list[Metric] = []
    for name, value in state["counters"].items():
        if name == "refused":
            reasons = {reason: count for reason, count in value.items() if reason not in _ANSWERS}
            families.append(_reasons(role, "packets_refused", reasons, _REFUSED))
            answers = [reason for reason in _ANSWERS if reason in value]
            families += [_single(role, f"icmp_{answer}", value[answer]) for answer in answers]
        elif isinstance(value, dict):
            families += _group(role, name, value)
        else:
            families.append(_single(role, name, value))
    families += [_single(role, _IO.get(name, name), n) for name, n in state["io"].items()]
    return families + _of_peers(role, state["peers"])


def _group(role: str, group: str, values: Mapping[str, Any]) -> list[Metric]:
    families: list[Metric] = []
    name, reasons, description = _BY_REASON.get(group, ("", (), ""))
    found = {reason: values[reason] for reason in reasons if reason in values}
    if found:
        families.append(_reasons(role, name, found, description))
    rest = (item for item in values.items() if item[0] not in found)
    return families + [_single(role, f"{group}_{name}", value) for name, value in rest]


def _reasons(role: str, name: str, values: Mapping[str, Any], description: str) -> Metric:
    family = CounterMetricFamily(f"firezone_{name}", description, labels=("role", "reason"))
    for reason, value in values.items():
        family.add_metric((role, reason), value)
    return family


def _single(role: str, name: str, value: float) -> Metric:
    kind = GaugeMetricFamily if name.endswith(tuple(_GAUGES)) else CounterMetricFamily
    family = kind(f"firezone_{name}", name.replace("_", " ").capitalize() + ".", labels=("role",))
    family.add_metric((role,), value)
    return family


def _of_peers(role: str, peers: Iterable[Mapping[str, Any]]) -> list[Metric]:
    labels = ("role", "peer")
    connected = GaugeMetricFamily(
        "firezone_peer_connected", "Whether a session stands.", labels=labels
    )
    sent = CounterMetricFamily("firezone_peer_sent_bytes", "Sent to a peer.", labels=labels)
    received = CounterMetricFamily(
        "firezone_peer_received_bytes", "Received from a peer.", labels=labels
    )
    for peer in peers:
        of = (role, str(peer["name"]))
        connected.add_metric(of, float(bool(peer.get("connected"))))
        sent.add_metric(of, peer.get("sent_bytes") or 0)
        received.add_metric(of, peer.get("received_bytes") or 0)
    return [connected, sent, received]
