"""A Client's file as a source of commands."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from .values import host_and_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from .tables import ClientTables, GatewayTable, ResourceTable

__all__ = ["FileClientSource"]

DEAD_FOR: Final = 30.0
"""Seconds that a Gateway which did not answer is passed over, if there is another."""


class FileClientSource:
    """Says what a Client may reach, and through which Gateway.

    Args:
        tables: The file's.
        log: Where events go.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        tables: ClientTables,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tables = tables
        self._log = log
        self._clock = clock
        self._dead: dict[str, float] = {}
        self._serving: dict[str, str] = {}
        """Resource id to the id of the Gateway that was chosen for it last."""

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands that a core without any resource needs."""
        return [_set(resource) for resource in self.tables.resource]

    def facts(self, addresses: Mapping[str, str | None]) -> dict[str, Any]:
        """Return what a successor goes on with before it has looked anything up.

        Args:
            addresses: Gateway id to where it is reached.
        """
        known = {
            gateway.id: [gateway.endpoint, addresses[gateway.id]]
            for gateway in self.tables.gateway
            if addresses.get(gateway.id) is not None
        }
        return {"gateways": known, "serving": dict(self._serving)}

    def resume(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the commands that let a core go on with the Gateways of a former process.

        A Gateway whose `endpoint` is another by now is none of them.

        Args:
            facts: As `facts` gave them; none is fine.
        """
        gateways = {gateway.id: gateway for gateway in self.tables.gateway}
        known, serving = facts.get("gateways", {}), facts.get("serving", {})
        commands = []
        for resource in self.tables.resource:
            gateway = gateways.get(serving.get(resource.id, ""))
            if gateway is None or gateway not in _wanted(resource, self.tables):
                continue
            endpoint, address = known.get(gateway.id, (None, None))
            if endpoint == gateway.endpoint:
                self._serving[resource.id] = gateway.id
                peer = gateway.command(address)
                commands.append({"type": "authorize", "resource": resource.id, "gateway": peer})
        return commands

    async def first_authorizations(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the commands that connect a new core to its Gateways before anybody asks.

        After a restart flows may wait at the other end: they go on once there is a session.
        """
        addresses: dict[str, str | None] = {}
        for table in self.tables.resource:
            if table.id in self._serving:
                # It goes on with the Gateway of a former process.
                continue
            answer = await self._authorize(table, addresses)
            if not isinstance(answer, str):
                yield {"type": "authorize", "resource": table.id, "gateway": dict(answer)}

    async def authorize(
        self, resource: str, connected: Sequence[str] = ()
    ) -> Mapping[str, object] | str:
        """Choose a Gateway: the first that is wanted and not known to be dead.

        Args:
            resource: The resource's id.
            connected: Does not matter: the file has its own order.

        Returns:
            The core's `GatewayPeer`, or `not_found`, or `offline` if none has an address.
        """
        del connected
        table = next((table for table in self.tables.resource if table.id == resource), None)
        return "not_found" if table is None else await self._authorize(table, {})

    def gateway_failed(self, gateway: str) -> None:
        """Note that a Gateway (its id) does not answer."""
        self._dead[gateway] = self._clock()

    def gateway_answered(self, gateway: str) -> None:
        """Note that a Gateway answers."""
        self._dead.pop(gateway, None)

    def name_of(self, identity: str | None) -> str | None:
        """Return what the file calls a Gateway or a resource, else its id."""
        gateways = {table.id: table.name for table in self.tables.gateway}
        resources = {table.id: table.name for table in self.tables.resource}
        return None if identity is None else {**gateways, **resources}.get(identity, identity)

    async def change(self, tables: ClientTables) -> list[dict[str, Any]]:
        """Take over a changed file; return the commands that make the core follow it.

        What is the same in both is not touched, so its flows go on.
        """
        former, self.tables = self.tables, tables
        before = {resource.id: resource for resource in former.resource}
        after = {resource.id: resource for resource in tables.resource}
        gone = before.keys() - after.keys()
        commands = [{"type": "remove_resource", "resource": resource} for resource in sorted(gone)]
        commands += [
            _set(table)
            for resource, table in after.items()
            if resource not in before or table.command() != before[resource].command()
        ]
        for resource, table in before.items():
            if resource in gone or _is_another(table, after[resource]):
                # The core forgets it too, and asks when it is needed.
                self._serving.pop(resource, None)
        commands += await self._handed_over(former, before)
        peers = {gateway.id for gateway in former.gateway}
        lost = sorted(peers - {gateway.id for gateway in tables.gateway})
        # The last: what they served is another's by then.
        return commands + [{"type": "remove_gateway", "gateway": gateway} for gateway in lost]

    async def _handed_over(
        self, former: ClientTables, before: dict[str, ResourceTable]
    ) -> list[dict[str, Any]]:
        """Tell the core of Gateways that are others by now, or reached otherwise."""
        peers = {gateway.id: gateway for gateway in former.gateway}
        now = {gateway.id: gateway for gateway in self.tables.gateway}
        commands = []
        addresses: dict[str, str | None] = {}
        for table in self.tables.resource:
            serving = self._serving.get(table.id)
            if serving is None:
                continue
            wanted = [gateway.id for gateway in _wanted(before[table.id], former)]
            is_wanted_so = wanted == [gateway.id for gateway in _wanted(table, self.tables)]
            is_reached_so = serving in now and _reached(peers[serving]) == _reached(now[serving])
            if is_wanted_so and is_reached_so:
                continue
            answer = await self._authorize(table, addresses)
            if isinstance(answer, str):
                self._serving.pop(table.id)
            elif not is_reached_so or answer["id"] != serving:
                command = {"type": "authorize", "resource": table.id, "gateway": dict(answer)}
                commands.append(command)
        return commands

    async def _authorize(
        self, table: ResourceTable, addresses: dict[str, str | None]
    ) -> Mapping[str, object] | str:
        """Choose a Gateway for a resource.

        Args:
            table: The resource.
            addresses: Gateway id to what its look-up gave; resources that are asked for together
                share it, because one look-up may take many seconds.
        """
        now = self._clock()
        for gateway in sorted(_wanted(table, self.tables), key=lambda g: self._is_dead(g, now)):
            if gateway.id not in addresses:
                addresses[gateway.id] = await self._address(gateway)
            address = addresses[gateway.id]
            if address is not None:
                self._serving[table.id] = gateway.id
                return gateway.command(address)
        return "offline"

    def _is_dead(self, gateway: GatewayTable, now: float) -> bool:
        return now - self._dead.get(gateway.id, -DEAD_FOR) < DEAD_FOR

    async def _address(self, gateway: GatewayTable) -> str | None:
        host, port = host_and_port(gateway.endpoint)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM, family=socket.AF_UNSPEC
            )
        except (OSError, UnicodeError) as error:
            self._log.warning(
                "a Gateway's host has no address",
                event_name="gateway.unknown",
                gateway=gateway.name,
                endpoint=gateway.endpoint,
                reason=str(error),
            )
            return None
        where: tuple[Any, ...] = found[0][4]
        address = str(where[0]).partition("%")[0]
        if ":" not in address:
            return f"{address}:{port}"
        # An address of one link alone is nothing without it.
        return f"[{address}%{where[3]}]:{port}" if where[3] else f"[{address}]:{port}"


def _wanted(resource: ResourceTable, tables: ClientTables) -> list[GatewayTable]:
    """Return the Gateways that may serve a resource, the most wanted first."""
    by_name = {gateway.name: gateway for gateway in tables.gateway}
    named = [by_name[name] for name in resource.gateways] or list(tables.gateway)
    # A plain WireGuard peer knows nothing of names.
    return [gateway for gateway in named if resource.dns is None or not gateway.plain]


def _is_another(before: ResourceTable, after: ResourceTable) -> bool:
    """Whether the core takes it as another resource; what people call it does not count."""
    return before.command() | {"name": ""} != after.command() | {"name": ""}


def _reached(gateway: GatewayTable) -> dict[str, object]:
    return gateway.command(gateway.endpoint)


def _set(resource: ResourceTable) -> dict[str, Any]:
    return {"type": "set_resource", "resource": resource.command()}
