"""A Gateway's file as a source of commands."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from firezone import socket_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .tables import ClientTable, GatewayTables, ResourceTable

__all__ = ["FileGatewaySource"]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class FileGatewaySource:
    """Says who may use what.

    Args:
        tables: The file's.
        clock: The time of day.
    """

    def __init__(self, tables: GatewayTables, clock: Callable[[], dt.datetime] = _now) -> None:
        self.tables = tables
        self._clock = clock
        self._names: dict[str, str] = {}
        self._learn()

    def commands(self, places: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the commands that a core without any Client needs.

        Args:
            places: Client id to where it was heard of last; it is spoken to there.
        """
        return [
            command
            for client in self.tables.client
            for command in (
                _add(client, places.get(client.id)),
                *self._grants(client, self._resources(self.tables)),
            )
        ]

    def name_of(self, identity: str | None) -> str | None:
        """Return what the file calls, or called, a Client or a resource; else its id."""
        return None if identity is None else self._names.get(identity, identity)

    def _learn(self) -> None:
        """Note names; those of a former file stay, for records of what ends by the change."""
        self._names |= {client.id: client.name for client in self.tables.client}
        self._names |= {resource.id: resource.name for resource in self.tables.resource}

    def change(self, tables: GatewayTables) -> list[dict[str, Any]]:
        """Take over a changed file; return the commands that make the core follow it.

        What is the same in both is not touched, so its flows go on.
        """
        former, self.tables = self.tables, tables
        self._learn()
        before = {client.id: client for client in former.client}
        after = {client.id: client for client in tables.client}
        gone = sorted(before.keys() - after.keys())
        commands = [{"type": "remove_client", "client": client} for client in gone]
        old, new = self._resources(former), self._resources(tables)
        for client in tables.client:
            known = before.get(client.id)
            if known is None:
                commands += [_add(client), *self._grants(client, new)]
            else:
                commands += self._change_client(known, client, old, new)
        return commands

    def _change_client(
        self,
        known: ClientTable,
        client: ClientTable,
        old: dict[str, ResourceTable],
        new: dict[str, ResourceTable],
    ) -> list[dict[str, Any]]:
        commands = [] if _add(known) == _add(client) else [_add(client)]
        had = {old[name].id: old[name] for name in known.resources}
        has = {new[name].id: new[name] for name in client.resources}
        gone = had.keys() - has.keys()
        if known.until != client.until and self._left(client) == 0:
            gone |= had.keys()
        commands += [
            {"type": "revoke", "client": client.id, "resource": resource}
            for resource in sorted(gone)
        ]
        for resource, table in has.items():
            same = resource in had and had[resource].command() == table.command()
            if not same or known.until != client.until:
                commands += self._grant(client, table)
        return commands

    def _grants(
        self, client: ClientTable, resources: dict[str, ResourceTable]
    ) -> list[dict[str, Any]]:
        return [
            command for name in client.resources for command in self._grant(client, resources[name])
        ]

    def _grant(self, client: ClientTable, resource: ResourceTable) -> list[dict[str, Any]]:
        """Return the command that gives access, none if that has ended."""
        left = self._left(client)
        if left == 0:
            return []
        command = {"type": "authorize", "client": client.id, "resource": resource.command()}
        return [command if left is None else {**command, "expires_in": left}]

    def _left(self, client: ClientTable) -> float | None:
        """Return for how many seconds a Client still has access; None: it does not end."""
        if client.until is None:
            return None
        return max(0.0, (client.until - self._clock()).total_seconds())

    @staticmethod
    def _resources(tables: GatewayTables) -> dict[str, ResourceTable]:
        return {resource.name: resource for resource in tables.resource}


def _add(client: ClientTable, place: str | None = None) -> dict[str, Any]:
    return {"type": "add_client", "client": client.command(_fixed(client) or place)}


def _fixed(client: ClientTable) -> str | None:
    """Return a Client's fixed place as the core reads it; behind no device of ours it has none."""
    if client.endpoint is None:
        return None
    try:
        return str(socket_address.parse(client.endpoint).numbered())
    except ValueError:
        return None
