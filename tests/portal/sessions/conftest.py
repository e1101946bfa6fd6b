"""What the tests of sessions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.portal.sessions.wire import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.portal.sessions.wire import Portal

    from firezone.portal.store import Store


@pytest.fixture
async def portal(store: Store) -> AsyncIterator[Portal]:
    """A portal at a socket."""
    async with serving(store) as served:
        yield served
