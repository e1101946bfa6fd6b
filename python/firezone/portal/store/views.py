"""What Clients see, computed together for all who ask at the same moment.

A change of one policy is told to each Client that it concerns, and each then asks what it sees:
with one look at the database for all of them, the change costs what it costs for one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from firezone.portal import policy
from firezone.portal.rows import client_of, policy_of, resource_of
from firezone.portal.tables import devices, memberships, policies, resources

from .network import list_sites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firezone.portal.database import Database, Scope
    from firezone.portal.interface import Session
    from firezone.portal.model import Policy, Resource

__all__ = ["Views"]

MOST_AT_ONCE: Final = 1000
"""Sessions that one look is for: databases take so many values and not many times more."""


class _Question:
    """A session that waits for what it sees.

    Args:
        session: Whose.
        now: When.
    """

    def __init__(self, session: Session, now: int) -> None:
        self.session = session
        self.now = now
        self.answer: asyncio.Future[tuple[Resource, ...]] = (
            asyncio.get_running_loop().create_future()
        )


class Views:
    """Answers what sessions see.

    Args:
        database: Where it follows from.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, list[_Question]] = defaultdict(list)
        self._work: set[asyncio.Task[None]] = set()

    async def of(self, session: Session, now: int) -> tuple[Resource, ...]:
        """Return what a Client sees, in the order of ids.

        Raises:
            DatabaseFailed: The database does not work.
        """
        question = _Question(session, now)
        account = session.device.account_id
        self._waiting[account].append(question)
        if len(self._waiting[account]) == 1:
            task = asyncio.create_task(self._look(account))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
        return await question.answer

    async def _look(self, account: str) -> None:
        # Whoever was told at the same moment asks in this turn of the loop.
        await asyncio.sleep(0)
        asked = self._waiting.pop(account)
        for first in range(0, len(asked), MOST_AT_ONCE):
            await self._answer(account, asked[first : first + MOST_AT_ONCE])

    async def _answer(self, account: str, asked: Sequence[_Question]) -> None:
        try:
            async with self._database.read(account) as scope:
                answers = await _seen(scope, asked)
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it, whatever it is
            for question in asked:
                if not question.answer.done():
                    question.answer.set_exception(error)
            return
        for question, seen in zip(asked, answers, strict=True):
            # Who has gone meanwhile waits no more.
            if not question.answer.done():
                question.answer.set_result(seen)


async def _seen(scope: Scope, asked: Sequence[_Question]) -> list[tuple[Resource, ...]]:
    ids = {question.session.device.id for question in asked}
    found = await scope.rows(scope.select(devices).where(devices.c.id.in_(ids)))
    there = {row.id: row for row in found if row.user_id is not None}
    granted = await _granted(scope, {row.user_id for row in there.values()})
    wanted = {one.resource_id for theirs in granted.values() for one in theirs}
    known = {site.id: site for site in await list_sites(scope)}
    rows = await scope.rows(scope.select(resources).where(resources.c.id.in_(wanted)))
    all_of_them = {row.id: resource_of(row, known.get(row.site_id)) for row in rows}
    answers: list[tuple[Resource, ...]] = []
    for question in asked:
        row = there.get(question.session.device.id)
        if row is None:
            answers.append(())
            continue
        origin = question.session.remote_ip
        client = client_of(row, None if origin is None else str(origin))
        offers = [
            (all_of_them[one.resource_id], one)
            for one in granted.get(row.user_id, ())
            # It may have gone since its policy was read.
            if one.resource_id in all_of_them
        ]
        answers.append(policy.visible(offers, client, question.now))
    return answers


async def _granted(scope: Scope, users: set[str]) -> dict[str, list[Policy]]:
    """Return the policies of users' groups that are enabled."""
    query = (
        scope.select(policies, policies, memberships.c.user_id)
        .join(memberships, memberships.c.group_id == policies.c.group_id)
        .where(memberships.c.user_id.in_(users), policies.c.disabled_at.is_(None))
    )
    granted: dict[str, list[Policy]] = defaultdict(list)
    for row in await scope.rows(query):
        granted[row.user_id].append(policy_of(row))
    return granted
