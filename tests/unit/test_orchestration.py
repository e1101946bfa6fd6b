"""Client and Gateway over a port that a test drives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from firezone import orchestration
from firezone.client import Client
from firezone.errors import EndpointNotRunning, GatewayOffline, TunnelTimeout
from firezone.gateway import LOOKUPS_AT_ONCE, Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from structlog.typing import EventDict

RESOURCE = "6f0d9a52-8d0e-4c6b-9b43-5f5d1f9a0c03"


class FakePort:
    """A core that says what a test lets it say."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []
        self.refuses = False
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def send(self, command: Mapping[str, object]) -> None:
        if self.refuses:
            message = "unknown command"
            raise ValueError(message)
        self.sent.append(command)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self._events.get()) is not None:
            yield event

    def say(self, *events: dict[str, Any] | None) -> None:
        for event in events:
            self._events.put_nowait(event)


class FakeSource:
    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.answer = answer

    async def authorize(self, resource: str, connected: Sequence[str] = ()) -> Any:
        del connected
        answer = self.answer(resource)
        return await answer if asyncio.iscoroutine(answer) else answer


class FakeResolver:
    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.answer = answer

    async def lookup(self, name: str, _family: str) -> Any:
        answer = self.answer(name)
        return await answer if asyncio.iscoroutine(answer) else answer


@pytest.fixture
def port() -> FakePort:
    return FakePort()


@pytest.fixture
def written() -> list[EventDict]:
    return []


@pytest.fixture
def log(written: list[EventDict]) -> Any:
    def keep(_logger: object, method: str, event: EventDict) -> EventDict:
        written.append({**event, "severity": method})
        raise structlog.DropEvent

    return structlog.wrap_logger(
        None, processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(0)
    )


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def fail(error: Exception) -> Callable[[str], Any]:
    def answer(_: str) -> Any:
        raise error

    return answer


def needed(resource: str = RESOURCE) -> dict[str, Any]:
    return {"type": "authorization_needed", "resource": resource}


async def test_a_client_is_given_the_gateway_of_a_resource(port: FakePort, log: Any) -> None:
    client = Client(port, FakeSource(lambda _: {"id": "g"}), log)
    port.say(needed())
    task = asyncio.create_task(client.run())
    await settle()
    port.say(None)
    await task

    assert port.sent == [{"type": "authorize", "resource": RESOURCE, "gateway": {"id": "g"}}]


@pytest.mark.parametrize(
    ("answer", "reason", "event"),
    [
        (lambda _: "forbidden", "forbidden", "access.refused"),
        (fail(GatewayOffline("no portal")), "offline", "access.unknown"),
        (fail(RuntimeError("a fault")), "offline", "access.failed"),
    ],
)
async def test_a_client_always_answers_its_core(
    answer: Any, reason: str, event: str, *, port: FakePort, log: Any, written: list[EventDict]
) -> None:
    client = Client(port, FakeSource(answer), log)
    port.say(needed())
    task = asyncio.create_task(client.run())
    await settle()
    port.say(None)
    await task

    assert port.sent == [{"type": "authorization_failed", "resource": RESOURCE, "reason": reason}]
    assert event in {entry["event_name"] for entry in written}


async def test_a_source_that_hangs_does_not_stop_other_events(port: FakePort, log: Any) -> None:
    hanging = FakeSource(lambda _: asyncio.Event().wait())
    client = Client(port, hanging, log)
    task = asyncio.create_task(client.run())
    port.say(needed())
    await settle()

    rows = asyncio.create_task(client.inspect("resources"))
    await settle()
    port.say({"type": "inspected", "id": 1, "rows": [{"name": "app"}], "cursor": None})
    assert await rows == [{"name": "app"}]

    port.say(None)
    await task
    assert [command["type"] for command in port.sent] == ["inspect"]


async def test_a_command_that_the_core_refuses_is_logged(
    port: FakePort, log: Any, written: list[EventDict]
) -> None:
    port.refuses = True
    client = Client(port, FakeSource(lambda _: "no reason"), log)
    gateway = Gateway(port, FakeResolver(lambda _: "other"), log)
    await client._authorize(RESOURCE)
    await gateway._look_up({"name": "a", "lookup": 1, "family": "ipv4"})

    assert [entry["event_name"] for entry in written].count("core.refused") == 2


async def test_what_a_client_tells_is_logged(
    port: FakePort, log: Any, written: list[EventDict]
) -> None:
    recorded: list[dict[str, Any]] = []

    def record(event: dict[str, Any]) -> None:
        recorded.append(event)
        raise OSError

    nat = {"type": "nat", "name": "app", "resource": RESOURCE, "gateway": "g"}
    port.say(
        {"type": "proxies_assigned", "name": "app", "ipv4": [], "ipv6": []},
        {**nat, "event": "established"},
        {**nat, "event": "refreshed"},
        {"type": "sentinels_changed", "sentinels": ["100.100.111.1"]},
        {"type": "tun_failed", "error": "gone"},
        {"type": "of_the_future"},
        None,
    )
    await Client(port, FakeSource(lambda _: "offline"), log, {"proxies_assigned": record}).run()

    assert len(recorded) == 1
    assert [(entry["event_name"], entry["severity"]) for entry in written] == [
        ("dns.assigned", "debug"),
        ("core.listener", "error"),
        ("nat.established", "info"),
        ("nat.refreshed", "debug"),
        ("dns.sentinels", "info"),
        ("tun.failed", "error"),
        ("core.unknown", "debug"),
    ]


def resolve(lookup: int, name: str = "app") -> dict[str, Any]:
    return {"type": "resolve_domain", "lookup": lookup, "name": name, "family": "ipv4"}


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (lambda _: {"addresses": [("192.0.2.1", 30)]}, {"addresses": [("192.0.2.1", 30)]}),
        (lambda _: "nx_domain", "nx_domain"),
        (fail(RuntimeError("a fault")), "other"),
    ],
)
async def test_a_gateway_always_answers_a_look_up(
    answer: Any, result: Any, port: FakePort, log: Any
) -> None:
    gateway = Gateway(port, FakeResolver(answer), log)
    port.say(resolve(7))
    task = asyncio.create_task(gateway.run())
    await settle()
    port.say(None)
    await task

    assert port.sent == [
        {"type": "domain_resolved", "lookup": 7, "family": "ipv4", "result": result}
    ]


async def test_look_ups_run_at_once_but_not_all(port: FakePort, log: Any) -> None:
    going, most = 0, 0
    released = asyncio.Event()

    async def answer() -> str:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await released.wait()
        going -= 1
        return "no_data"

    gateway = Gateway(port, FakeResolver(lambda _: answer()), log)
    count = LOOKUPS_AT_ONCE + 50
    port.say(*(resolve(number) for number in range(count)))
    task = asyncio.create_task(gateway.run())
    await settle()
    assert going == LOOKUPS_AT_ONCE
    released.set()
    await settle()
    port.say(None)
    await task

    assert most == LOOKUPS_AT_ONCE
    assert len(port.sent) == count


async def test_look_ups_under_way_end_with_the_core(port: FakePort, log: Any) -> None:
    gateway = Gateway(port, FakeResolver(lambda _: asyncio.Event().wait()), log)
    port.say(resolve(1))
    task = asyncio.create_task(gateway.run())
    await settle()
    port.say(None)
    await task
    await settle()

    assert port.sent == []
    assert not gateway._work


@pytest.mark.parametrize(("flow_logs", "severity"), [(True, "info"), (False, "debug")])
async def test_r39_flows_are_recorded(
    flow_logs: bool, severity: str, port: FakePort, log: Any, written: list[EventDict]
) -> None:
    port.say(
        {"type": "flow_opened", "client": "c", "real": "192.0.2.1"},
        {"type": "flow_closed", "client": "c", "real": "192.0.2.1", "reason": "fin"},
        {"type": "access_expired", "client": "c", "resource": RESOURCE},
        {"type": "foreign_source", "client": "c", "source": "100.64.0.9"},
        {"type": "nat", "event": "stale", "name": "app", "family": "ipv4"},
        None,
    )
    await Gateway(port, FakeResolver(lambda _: "other"), log, flow_logs=flow_logs).run()

    assert [(entry["event_name"], entry["severity"]) for entry in written] == [
        ("flow.opened", severity),
        ("flow.closed", severity),
        ("access.expired", "info"),
        ("access.foreign-source", "warning"),
        ("nat.stale", "info"),
    ]
    assert written[1]["reason"] == "fin"
    assert written[3]["source"] == "100.64.0.9"
    assert "tunnel_addresses" in written[3]["hint"]


async def test_pages_are_joined_and_a_limit_ends_them(port: FakePort, log: Any) -> None:
    gateway = Gateway(port, FakeResolver(lambda _: "other"), log)
    task = asyncio.create_task(gateway.run())
    flows = gateway.methods()["nat.flows"]

    whole = asyncio.create_task(flows({}))
    await settle()
    port.say({"type": "inspected", "id": 1, "rows": [1, 2], "cursor": 2})
    await settle()
    port.say({"type": "inspected", "id": 2, "rows": [3], "cursor": None})
    assert await whole == [1, 2, 3]
    assert [command["cursor"] for command in port.sent] == [0, 2]

    limited = asyncio.create_task(flows({"limit": 1}))
    await settle()
    port.say({"type": "inspected", "id": 3, "rows": [1, 2], "cursor": 2})
    assert await limited == [1]
    port.say({"type": "inspected", "id": 99, "rows": [], "cursor": None}, None)
    await task


@pytest.mark.parametrize("params", [{"limit": "all"}, {"limit": True}, {"limit": -1}, {"x": 1}])
async def test_bad_parameters_are_told(params: dict[str, Any], port: FakePort, log: Any) -> None:
    methods = Client(port, FakeSource(lambda _: "offline"), log).methods()

    with pytest.raises(ValueError, match="limit"):
        await methods["nat.resources"](params)


async def test_who_waits_for_a_core_that_stops_is_told(port: FakePort, log: Any) -> None:
    client = Client(port, FakeSource(lambda _: "offline"), log)
    task = asyncio.create_task(client.run())
    rows = asyncio.create_task(client.inspect("counters"))
    await settle()
    port.say(None)
    await task

    with pytest.raises(EndpointNotRunning):
        await rows
    with pytest.raises(EndpointNotRunning):
        await client.inspect("counters")


async def test_a_core_that_does_not_answer_is_told(
    port: FakePort, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration, "PATIENCE", 0.01)
    client = Client(port, FakeSource(lambda _: "offline"), log)

    with pytest.raises(TunnelTimeout, match="counters"):
        await client.inspect("counters")
