"""What a portal does without being asked: live, carry events, end what is over.

Each job is tried again and again; that one fails is logged once, not each second.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from firezone.errors import FirezoneError

from .bus import CHANNEL
from .database import SYSTEM, Scope
from .events import ViewChanged, decode
from .presence import BEAT, SILENCE
from .revoke import clients_of_groups
from .rows import policy_of
from .tables import outbox, policies, processes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from structlog.typing import FilteringBoundLogger

    from .store.grants import GrantStore

__all__ = ["Housekeeping"]

OUTBOX_INTERVAL: Final = 0.2
"""Seconds between two looks for what other programs have changed in an SQLite database."""
LISTEN_CHECK: Final = 10.0
"""Seconds between two questions whether the listening connection is alive."""
_MINUTE: Final = 60


class Housekeeping:
    """The jobs of a process.

    Args:
        store: Whose.
        log: Told of what fails.
        clock: Seconds since 1970.
    """

    def __init__(
        self, store: GrantStore, log: FilteringBoundLogger, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._database = store.database
        self._log = log
        self._clock = clock
        self._failing: set[str] = set()
        self._listening = asyncio.Event()

    async def begin(self) -> None:
        """Be known as alive; forget sessions of processes that are not."""
        now = int(self._clock())
        async with self._database.wide(now) as scope:
            others = delete(processes)
            if not self._database.is_sqlite:
                dead = processes.c.seen_at <= now - SILENCE
                others = others.where(dead | (processes.c.id == self._store.process))
            await scope.run(others)
            await scope.run(insert(processes).values(id=self._store.process, seen_at=now))
            # What was left for a portal that did not run concerns nobody who is here.
            await scope.run(delete(outbox))

    async def end(self) -> None:
        """Let this process's sessions be offline."""
        with suppress(FirezoneError):
            async with self._database.wide(int(self._clock())) as scope:
                gone = delete(processes).where(processes.c.id == self._store.process)
                await scope.run(gone)

    async def run(self) -> None:
        """Do all jobs until cancelled."""
        carry = self._poll_outbox if self._database.is_sqlite else self._listen
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(self._every(1, "expiry", self._expire))
            jobs.create_task(self._every(BEAT, "presence", self._beat))
            jobs.create_task(self._at_minutes())
            jobs.create_task(carry())

    async def ready(self) -> None:
        """Wait until events of others arrive."""
        if not self._database.is_sqlite:
            await self._listening.wait()

    async def _every(self, seconds: float, name: str, job: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await self._try(name, job)
            await asyncio.sleep(seconds)

    async def _try(self, name: str, job: Callable[[], Awaitable[Any]]) -> None:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must go on
            if name not in self._failing:
                self._failing.add(name)
                self._log.error(
                    "a job of the portal fails",
                    event_name="job.fails",
                    job=name,
                    reason=str(error),
                    exc_info=not isinstance(error, FirezoneError | OSError),
                )
        else:
            if name in self._failing:
                self._failing.discard(name)
                self._log.info("a job works again", event_name="job.works", job=name)

    async def _expire(self) -> None:
        await self._store.expire(int(self._clock()))

    async def _beat(self) -> None:
        now = int(self._clock())
        async with self._database.wide(now) as scope:
            own = update(processes).where(processes.c.id == self._store.process)
            if not (await scope.run(own.values(seen_at=now))).rowcount:
                # Another process took this one for dead, and its sessions with it.
                await scope.run(insert(processes).values(id=self._store.process, seen_at=now))
                self._database.bus.missed()
            dead = (processes.c.seen_at <= now - SILENCE, processes.c.id != self._store.process)
            await scope.run(delete(processes).where(*dead))

    async def _at_minutes(self) -> None:
        """Look at policies with time windows whenever one may open or close."""
        while True:
            await asyncio.sleep(_MINUTE - self._clock() % _MINUTE)
            await self._try("time windows", self._look_at_windows)

    async def _look_at_windows(self) -> None:
        query = select(policies).where(policies.c.disabled_at.is_(None))
        async with self._database.connection() as connection:
            timed: dict[str, set[str]] = {}
            for row in (await connection.execute(query)).all():
                if policy_of(row).conditions.time_windows:
                    timed.setdefault(row.account_id, set()).add(row.group_id)
            for account, groups in timed.items():
                scope = Scope(connection, account, SYSTEM, int(self._clock()))
                clients = await clients_of_groups(scope, *groups)
                self._database.bus.deliver([ViewChanged(tuple(sorted(clients)))])

    async def _poll_outbox(self) -> None:
        while True:
            await self._try("outbox", self._empty_outbox)
            await asyncio.sleep(OUTBOX_INTERVAL)

    async def _empty_outbox(self) -> None:
        async with self._database.connection() as connection:
            rows = (await connection.execute(select(outbox).order_by(outbox.c.id))).all()
        if not rows:
            return
        async with self._database.wide(0) as scope:
            await scope.run(delete(outbox).where(outbox.c.id <= rows[-1].id))
        for row in rows:
            self._take(row.event)

    def _take(self, payload: str) -> None:
        try:
            self._database.bus.deliver([decode(payload)])
        except ValueError as error:
            self._log.warning("an event is passed over", event_name="bus.bad", reason=str(error))

    async def _listen(self) -> None:
        """Hear what other processes tell; after a pause nobody knows what was missed."""
        while True:
            await self._try("listening", self._hear)
            self._listening.clear()
            await asyncio.sleep(1)

    async def _hear(self) -> None:
        """Listen until the connection is lost."""
        import asyncpg  # noqa: PLC0415 - of the extra `postgres`

        try:
            connection = await asyncpg.connect(self._database.driver_url, timeout=LISTEN_CHECK)
        except asyncpg.PostgresError as error:
            message = f"PostgreSQL does not let us listen: {error}"
            raise ConnectionError(message) from error
        try:
            await connection.add_listener(CHANNEL, lambda *given: self._take(given[3]))
            # The first time nobody listens yet, and nothing is missed.
            self._database.bus.missed()
            self._listening.set()
            while True:
                await asyncio.sleep(LISTEN_CHECK)
                # A peer that is gone is noticed by asking alone.
                await connection.execute("SELECT 1", timeout=LISTEN_CHECK)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            message = f"the connection that listens was lost: {error}"
            raise ConnectionError(message) from error
        finally:
            connection.terminate()
