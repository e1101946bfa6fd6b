"""A changed file becomes exactly the commands that it needs."""

from __future__ import annotations

import base64
import datetime as dt
import socket
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from firezone.standalone.client import DEAD_FOR, FileClientSource
from firezone.standalone.gateway import FileGatewaySource
from firezone.standalone.tables import (
    ClientTable,
    ClientTables,
    GatewayTable,
    GatewayTables,
    ResourceTable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
LOG = structlog.wrap_logger(
    None, processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)]
)


def key(name: str) -> str:
    return base64.b64encode(name.encode().ljust(32, b".")).decode()


def gateway(name: str, endpoint: str = "192.0.2.1:52625", **more: Any) -> GatewayTable:
    return GatewayTable(name=name, public_key=key(name), endpoint=endpoint, **more)


def client(name: str, *resources: str, **more: Any) -> ClientTable:
    return ClientTable(name=name, public_key=key(name), resources=resources, **more)


def web(**more: Any) -> ResourceTable:
    return ResourceTable(name="web", dns="*.corp.example", **more)


def net(**more: Any) -> ResourceTable:
    return ResourceTable(name="net", cidr="10.0.0.0/8", **more)


def kinds(commands: Iterable[dict[str, Any]]) -> list[str]:
    return [command["type"] for command in commands]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestClient:
    async def source(self, tables: ClientTables, clock: Clock | None = None) -> FileClientSource:
        source = FileClientSource(tables, LOG, clock or Clock())
        assert kinds(source.commands()) == ["set_resource"] * len(tables.resource)
        async for command in source.first_authorizations():
            assert command["type"] == "authorize"
        return source

    async def test_the_same_file_needs_nothing(self) -> None:
        tables = ClientTables(gateway=[gateway("a"), gateway("b")], resource=[web(), net()])
        source = await self.source(tables)

        assert await source.change(tables.model_copy(deep=True)) == []

    async def test_a_gateway_with_another_name_is_the_same(self) -> None:
        source = await self.source(ClientTables(gateway=[gateway("a")], resource=[web()]))
        renamed = gateway("a").model_copy(update={"name": "office"})

        assert await source.change(ClientTables(gateway=[renamed], resource=[web()])) == []
        assert source.name_of(renamed.id) == "office"

    async def test_resources_come_and_go_and_change(self) -> None:
        peers = [gateway("a")]
        source = await self.source(ClientTables(gateway=peers, resource=[web(), net()]))
        changed = web(ports=["tcp/443"])

        commands = await source.change(ClientTables(gateway=peers, resource=[changed]))

        assert commands == [
            {"type": "remove_resource", "resource": net().id},
            {"type": "set_resource", "resource": changed.command()},
        ]
        added = await source.change(ClientTables(gateway=peers, resource=[changed, net()]))
        assert added == [{"type": "set_resource", "resource": net().command()}]

    async def test_a_gateway_that_moved_is_told_for_what_it_serves(self) -> None:
        peers = [gateway("a"), gateway("b", "192.0.2.2:1")]
        resources = [web(gateways=["a"]), net(gateways=["b"])]
        source = await self.source(ClientTables(gateway=peers, resource=resources))
        moved = gateway("a", "192.0.2.9:52625")

        commands = await source.change(ClientTables(gateway=[moved, peers[1]], resource=resources))

        peer = moved.command("192.0.2.9:52625")
        assert commands == [{"type": "authorize", "resource": web().id, "gateway": peer}]

    async def test_a_gateway_that_stands_in_and_moves_is_told_too(self) -> None:
        clock, resources = Clock(), [web()]
        peers = [gateway("a"), gateway("b", "192.0.2.2:1")]
        source = await self.source(ClientTables(gateway=peers, resource=resources), clock)
        source.gateway_failed(peers[0].id)
        assert (await source.authorize(web().id))["id"] == peers[1].id  # type: ignore[index]

        moved = [peers[0], gateway("b", "192.0.2.3:1")]
        commands = await source.change(ClientTables(gateway=moved, resource=resources))

        assert [c["gateway"]["endpoint"]["address"] for c in commands] == ["192.0.2.3:1"]

    async def test_another_gateway_takes_over_before_the_former_goes(self) -> None:
        source = await self.source(ClientTables(gateway=[gateway("a")], resource=[web()]))

        commands = await source.change(ClientTables(gateway=[gateway("b")], resource=[web()]))

        assert kinds(commands) == ["authorize", "remove_gateway"]
        assert commands[0]["gateway"]["id"] == gateway("b").id
        assert commands[1]["gateway"] == gateway("a").id

    async def test_another_order_of_gateways_is_followed(self) -> None:
        peers = [gateway("a"), gateway("b")]
        before = ClientTables(gateway=peers, resource=[web(gateways=["a", "b"])])
        source = await self.source(before)

        after = ClientTables(gateway=peers, resource=[web(gateways=["b", "a"])])
        commands = await source.change(after)

        assert [command["gateway"]["id"] for command in commands] == [peers[1].id]

    async def test_what_nobody_used_yet_is_not_authorized(self) -> None:
        peers = [gateway("a")]
        source = FileClientSource(ClientTables(gateway=peers, resource=[web()]), LOG, Clock())
        moved = ClientTables(gateway=[gateway("a", "192.0.2.9:1")], resource=[web()])

        assert await source.change(moved) == []

    async def test_a_dead_gateway_is_passed_over_for_a_time(self) -> None:
        clock, peers = Clock(), [gateway("a"), gateway("b")]
        source = await self.source(ClientTables(gateway=peers, resource=[web()]), clock)

        async def chosen() -> Any:
            return (await source.authorize(web().id))["id"]  # type: ignore[index]

        source.gateway_failed(peers[0].id)
        assert await chosen() == peers[1].id
        source.gateway_answered(peers[0].id)
        assert await chosen() == peers[0].id
        source.gateway_failed(peers[0].id)
        clock.now += DEAD_FOR
        assert await chosen() == peers[0].id

    async def test_a_lone_gateway_is_tried_though_it_seemed_dead(self) -> None:
        source = await self.source(ClientTables(gateway=[gateway("a")], resource=[web()]))
        source.gateway_failed(gateway("a").id)

        assert not isinstance(await source.authorize(web().id), str)

    async def test_names_are_not_for_plain_peers(self) -> None:
        peers = [gateway("a", plain=True), gateway("b")]
        source = await self.source(ClientTables(gateway=peers, resource=[web(), net()]))

        assert (await source.authorize(web().id))["id"] == peers[1].id  # type: ignore[index]
        assert (await source.authorize(net().id))["id"] == peers[0].id  # type: ignore[index]

    async def test_what_is_not_in_the_file_and_what_has_no_gateway(self) -> None:
        source = FileClientSource(ClientTables(resource=[web()]), LOG)

        assert await source.authorize(net().id) == "not_found"
        assert await source.authorize(web().id) == "offline"
        assert [command async for command in source.first_authorizations()] == []

    @pytest.mark.parametrize("error", [socket.gaierror("no such name"), UnicodeError("label")])
    async def test_a_gateway_without_address_is_offline(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        tables = ClientTables(gateway=[gateway("a", "gw.example:1")], resource=[web()])

        assert await FileClientSource(tables, LOG).authorize(web().id) == "offline"

    @pytest.mark.parametrize("endpoint", ["192.0.2.1:5", "[2001:db8::1]:5"])
    async def test_addresses_are_told_as_they_are(self, endpoint: str) -> None:
        tables = ClientTables(gateway=[gateway("a", endpoint)], resource=[web()])

        answer: Any = await FileClientSource(tables, LOG).authorize(web().id)

        assert answer["endpoint"]["address"] == endpoint

    @pytest.mark.parametrize("address", [("192.0.2.1", 1), None])
    async def test_a_gateway_is_looked_up_once_for_all_that_it_serves(
        self, address: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def look_up(host: str, *_: object, **__: object) -> list[Any]:
            asked.append(host)
            if address is None:
                raise OSError("no answer")
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", address)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        peers = [gateway("a", "a.example:1"), gateway("b", "b.example:1")]
        source = FileClientSource(ClientTables(gateway=peers, resource=[web(), net()]), LOG)

        commands = [command async for command in source.first_authorizations()]

        assert len(commands) == (0 if address is None else 2)
        assert asked == (["a.example", "b.example"] if address is None else ["a.example"])


class TestGateway:
    def source(self, tables: GatewayTables) -> FileGatewaySource:
        return FileGatewaySource(tables, clock=lambda: NOW)

    @pytest.mark.parametrize(
        ("endpoint", "told"),
        [("[fe80::1%lo]:5", "[fe80::1%1]:5"), ("[fe80::1%nonesuch0]:5", None)],
    )
    def test_a_fixed_place_on_one_link_is_told_by_the_links_number(
        self, endpoint: str, told: str | None
    ) -> None:
        fixed = client("b", endpoint=endpoint)

        commands = self.source(GatewayTables(client=[fixed])).commands({})

        assert commands == [{"type": "add_client", "client": fixed.command(told)}]

    def test_a_new_core_is_told_all_and_where_clients_were_heard_of(self) -> None:
        fixed = client("b", endpoint="192.0.2.8:1")
        tables = GatewayTables(client=[client("a", "web"), fixed], resource=[web(), net()])
        places = {client("a").id: "192.0.2.7:9", fixed.id: "192.0.2.6:9"}

        commands = self.source(tables).commands(places)

        assert commands == [
            {"type": "add_client", "client": client("a").command("192.0.2.7:9")},
            {"type": "authorize", "client": client("a").id, "resource": web().command()},
            {"type": "add_client", "client": fixed.command("192.0.2.8:1")},
        ]

    def test_the_same_file_needs_nothing(self) -> None:
        until = NOW + dt.timedelta(hours=1)
        tables = GatewayTables(
            client=[client("a", "web", "net", until=until), client("b", "net")],
            resource=[web(), net()],
        )

        assert self.source(tables).change(tables.model_copy(deep=True)) == []

    def test_a_resource_whose_ports_changed_is_told_to_who_may_use_it(self) -> None:
        clients = [client("a", "web", "net"), client("b", "net")]
        source = self.source(GatewayTables(client=clients, resource=[web(), net()]))
        changed = web(ports=["tcp/443"])

        commands = source.change(GatewayTables(client=clients, resource=[changed, net()]))

        assert commands == [
            {"type": "authorize", "client": clients[0].id, "resource": changed.command()}
        ]

    def test_clients_and_their_resources_come_and_go(self) -> None:
        before = [client("a", "web", "net"), client("b", "net")]
        source = self.source(GatewayTables(client=before, resource=[web(), net()]))
        after = [client("a", "net"), client("c", "web")]

        commands = source.change(GatewayTables(client=after, resource=[web(), net()]))

        assert commands == [
            {"type": "remove_client", "client": before[1].id},
            {"type": "revoke", "client": before[0].id, "resource": web().id},
            {"type": "add_client", "client": after[1].command(None)},
            {"type": "authorize", "client": after[1].id, "resource": web().command()},
        ]

    def test_a_client_with_another_name_is_the_same(self) -> None:
        source = self.source(GatewayTables(client=[client("a", "web")], resource=[web()]))
        renamed = client("a", "web").model_copy(update={"name": "laptop"})

        assert source.change(GatewayTables(client=[renamed], resource=[web()])) == []
        assert source.name_of(renamed.id) == "laptop"
        assert source.name_of("who?") == "who?"
        assert source.name_of(None) is None

    def test_another_secret_is_told_without_touching_access(self) -> None:
        source = self.source(GatewayTables(client=[client("a", "web")], resource=[web()]))
        secret = client("a", "web", preshared_key=key("secret"))

        commands = source.change(GatewayTables(client=[secret], resource=[web()]))

        assert commands == [{"type": "add_client", "client": secret.command(None)}]

    def test_until_becomes_the_seconds_that_are_left(self) -> None:
        source = self.source(GatewayTables(client=[client("a", "web")], resource=[web()]))
        shorter = client("a", "web", until=NOW + dt.timedelta(minutes=1))

        commands = source.change(GatewayTables(client=[shorter], resource=[web()]))

        grant = {"type": "authorize", "client": shorter.id, "resource": web().command()}
        assert commands == [{**grant, "expires_in": 60.0}]
        assert source.change(GatewayTables(client=[client("a", "web")], resource=[web()])) == [
            grant
        ]

    def test_until_that_has_passed_takes_away(self) -> None:
        source = self.source(GatewayTables(client=[client("a", "web")], resource=[web(), net()]))
        over = client("a", "web", "net", until=NOW - dt.timedelta(seconds=1))

        commands = source.change(GatewayTables(client=[over], resource=[web(), net()]))

        assert commands == [{"type": "revoke", "client": over.id, "resource": web().id}]

    def test_who_comes_too_late_is_given_nothing(self) -> None:
        over = GatewayTables(client=[client("a", "web", until=NOW)], resource=[web()])

        assert kinds(self.source(over).commands({})) == ["add_client"]
