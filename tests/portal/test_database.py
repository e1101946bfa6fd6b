"""Migrations, the bus between processes, and what happens when a process or a database is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from tests.portal.world import NOW, World

from firezone.errors import ConfigError
from firezone.portal import events
from firezone.portal.database import SYSTEM, Conflict, DatabaseFailed
from firezone.portal.events import ViewChanged
from firezone.portal.housekeeping import Housekeeping
from firezone.portal.inputs import PolicyChange
from firezone.portal.interface import Refused
from firezone.portal.presence import SILENCE
from firezone.portal.store import Store, access
from firezone.portal.tables import metadata

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


async def test_migrations_lead_from_nothing_to_the_tables_of_the_code(empty_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    with pytest.raises(ConfigError):
        await Store.open(empty_url, migrates=False)
    for _ in range(2):
        store = await Store.open(empty_url)
        async with store.database.connection() as connection:
            assert await connection.run_sync(differences) == []
        await store.close()
    await (await Store.open(empty_url, migrates=False)).close()


async def test_two_portals_that_start_together_make_the_tables_once(empty_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(empty_url) for _ in range(3)))

    for store in stores:
        assert await store.accounts() == []
        await store.close()


async def test_tables_of_a_newer_version_are_refused(empty_url: str) -> None:
    store = await Store.open(empty_url)
    async with store.database.wide(NOW) as scope:
        await scope.run(text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()

    for migrates in (True, False):
        with pytest.raises(ConfigError, match="newer"):
            await Store.open(empty_url, migrates=migrates)


async def test_what_another_program_changes_is_told_to_the_sessions(world: World, url: str) -> None:
    client = await world.client()
    told = await world.listen(client)
    other = await Store.open(url, serves=False, migrates=False)

    async with other.change(world.account, SYSTEM, NOW) as scope:
        await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))
    await other.close()

    async with asyncio.timeout(10):
        assert await told.next() == ViewChanged((client.device.id,))


async def test_what_is_not_committed_is_told_to_nobody(world: World) -> None:
    client = await world.client()
    told = await world.listen(client)

    async def fail(statement: str) -> None:
        async with world.change() as scope:
            await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))
            await scope.run(text(statement))

    with pytest.raises(Conflict):
        await fail("INSERT INTO memberships VALUES ('x', 'y', 'z')")
    with pytest.raises(DatabaseFailed):
        await fail("no SQL")

    assert await world.seen(told) == []
    assert len(await world.store.view(client, NOW)) == 1


async def test_revocation_and_request_at_once_leave_no_access(world: World) -> None:
    client, gateway = await world.client(), await world.gateway()

    async def ask() -> list[object]:
        return [await world.store.authorize(client, world.resource.id, (), NOW) for _ in range(10)]

    async def revoke() -> None:
        await asyncio.sleep(0.01)
        async with world.change() as scope:
            await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))

    asked, *_ = await asyncio.gather(ask(), revoke(), ask(), ask())

    assert await world.store.authorizations_of(gateway, NOW) == ()
    after = await world.store.authorize(client, world.resource.id, (), NOW)
    assert after == Refused("not_found")
    assert len(asked) == 10


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_two_processes_serve_one_database(
    world: World, url: str, log: FilteringBoundLogger
) -> None:
    other = await Store.open(url)
    async with other.running(log, lambda: NOW) as keeping:
        await keeping.ready()
        there = await World.find(other, "corp")
        client, gateway = await world.client(), await there.gateway()
        told = {"client": await world.listen(client), "gateway": await there.listen(gateway)}

        ref = await world.store.authorize(client, world.resource.id, (), NOW)
        assert isinstance(ref, str)
        asked = events.AuthorizationRequested(gateway.device.id, ref)
        async with asyncio.timeout(10):
            assert await told["gateway"].next() == asked
        assert await other.confirm(gateway, ref, NOW)
        async with asyncio.timeout(10):
            confirmed = await told["client"].next()
        assert confirmed == events.AuthorizationConfirmed(client.device.id, ref)
        # The same Gateway comes to the other process: the newest wins there, too.
        newer = await world.gateway()
        async with asyncio.timeout(10):
            replaced = await told["gateway"].next()
        assert replaced == events.SessionReplaced(gateway.device.id, newer.id)
    await other.close()
    # What ended in order took nobody of the first process along.
    assert isinstance(await world.store.authorize(client, world.resource.id, (), NOW), str)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_process_that_was_killed_holds_nobody_online(
    world: World, url: str, log: FilteringBoundLogger
) -> None:
    client = await world.client()
    dead = await Store.open(url)
    async with dead.running(log, lambda: NOW):
        there = await World.find(dead, "corp")
        await there.gateway()
        assert isinstance(await world.store.authorize(client, world.resource.id, (), NOW), str)
        later = NOW + SILENCE
        assert await world.store.authorize(client, world.resource.id, (), later) == Refused(
            "offline"
        )
    await dead.close()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_an_sqlite_database_has_one_portal(
    store: Store, url: str, log: FilteringBoundLogger
) -> None:
    assert store
    second = await Store.open(url)

    with pytest.raises(Conflict, match="a portal uses"):
        async with second.running(log):
            pass
    await second.close()


async def test_a_job_that_fails_is_told_once_and_goes_on(store: Store, world: World) -> None:
    said: list[str] = []

    def keep(_logger: object, method: str, event: Any) -> Any:
        said.append(f"{method} {event['event_name']}")
        raise structlog.DropEvent

    keeping = Housekeeping(store, structlog.wrap_logger(None, processors=[keep]).bind(), lambda: 0)
    assert world

    async def fail() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        pass

    for job in (fail, fail, work, work):
        await keeping._try("a job", job)

    assert said == ["error job.fails", "info job.works"]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_database_that_cannot_be_written_changes_nothing(world: World) -> None:
    full = "CREATE TRIGGER f BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    async with world.store.database.wide(NOW) as scope:
        await scope.run(text(full))

    async def disable() -> None:
        async with world.change() as scope:
            await access.change_policy(scope, world.policy.id, PolicyChange(disabled=True))

    with pytest.raises((DatabaseFailed, Conflict)):
        await disable()

    async with world.change() as scope:
        assert (await access.find_policy(scope, world.policy.id)).disabled_at is None


async def test_a_database_that_is_gone_is_an_error_of_its_own() -> None:
    with pytest.raises(DatabaseFailed, match="does not work"):
        await Store.open("postgresql://nobody@127.0.0.1:1/nothing")
