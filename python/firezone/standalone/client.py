"""A Client's file as a source of commands."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands that a core without any resource needs."""
        return [_set(resource) for resource in self.tables.resource]

    async def first_authorizations(self) -> list[dict[str, Any]]:
        """Return the commands that connect a new core to its Gateways before anybody asks.

        After a restart flows may wait at the other end: they go on once there is a session.
        """
        commands = []
        for table in self.tables.resource:
            answer = await self.authorize(table.id)
            if not isinstance(answer, str):
                command = {"type": "authorize", "resource": table.id, "gateway": dict(answer)}
                commands.append(command)
        return commands

    async def authorize(self, resource: str) -> Mapping[str, object] | str:
        """Choose a Gateway: the first that is wanted and not known to be dead.

        Args:
            resource: The resource's id.

        Returns:
            The core's `GatewayPeer`, or `not_found`, or `offline` if none has an address.
        """
        table = next((table for table in self.tables.resource if table.id == resource), None)
        if table is None:
            return "not_found"
        now = self._clock()
        for gateway in sorted(self._gateways_of(table), key=lambda g: self._is_dead(g, now)):
            address = await self._address(gateway)
            if address is not None:
                return gateway.command(address)
        return "offline"

    def gateway_failed(self, gateway: str) -> None:
        """Note that a Gateway (its id) does not answer."""
        self._dead[gateway] = self._clock()

    def gateway_answered(self, gateway: str) -> None:
        """Note that a Gateway answers."""
        self._dead.pop(gateway, None)

    def gateway_name(self, gateway: str) -> str:
        """Return what the file calls a Gateway, else its id."""
        names = {table.id: table.name for table in self.tables.gateway}
        return names.get(gateway, gateway)

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
        peers = {gateway.id: gateway for gateway in former.gateway}
        kept = {gateway.id for gateway in tables.gateway}
        commands += [
            {"type": "remove_gateway", "gateway": gateway}
            for gateway in sorted(peers.keys() - kept)
        ]
        for gateway in tables.gateway:
            if gateway.id in peers and gateway != peers[gateway.id]:
                commands += await self._moved(gateway)
        return commands

    async def _moved(self, gateway: GatewayTable) -> list[dict[str, Any]]:
        """Tell the core that a Gateway is reached otherwise, by a resource that it serves first."""
        address = await self._address(gateway)
        served = [r for r in self.tables.resource if self._gateways_of(r)[:1] == [gateway]]
        if address is None:
            return []
        peer = gateway.command(address)
        return [{"type": "authorize", "resource": r.id, "gateway": peer} for r in served]

    def _gateways_of(self, resource: ResourceTable) -> list[GatewayTable]:
        by_name = {gateway.name: gateway for gateway in self.tables.gateway}
        return [by_name[name] for name in resource.gateways] or list(self.tables.gateway)

    def _is_dead(self, gateway: GatewayTable, now: float) -> bool:
        return now - self._dead.get(gateway.id, -DEAD_FOR) < DEAD_FOR

    async def _address(self, gateway: GatewayTable) -> str | None:
        host, _, port = gateway.endpoint.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_DGRAM, family=socket.AF_UNSPEC
            )
        except OSError as error:
            self._log.warning(
                "a Gateway's host has no address",
                event_name="gateway.unknown",
                gateway=gateway.name,
                endpoint=gateway.endpoint,
                reason=str(error),
            )
            return None
        address = found[0][4]
        return f"[{address[0]}]:{port}" if ":" in str(address[0]) else f"{address[0]}:{port}"


def _set(resource: ResourceTable) -> dict[str, Any]:
    return {"type": "set_resource", "resource": resource.command()}
