"""What waits for a session that is behind."""

from __future__ import annotations

from firezone.portal.bus import LONGEST_QUEUE, LocalBus
from firezone.portal.events import AuthorizationConfirmed, Missed, ViewChanged


def test_changes_of_the_view_that_wait_side_by_side_are_one() -> None:
    bus = LocalBus()
    with bus.subscribe("device:a") as listening:
        bus.deliver(
            [ViewChanged(("a", "b"), ("r",)), ViewChanged(("a",)), ViewChanged(("a",), ("s", "r"))]
        )

        assert listening.taken() == [ViewChanged(("a",), ("r", "s"))]


def test_nothing_overtakes_what_stands_between_two_of_them() -> None:
    bus = LocalBus()
    confirmed = AuthorizationConfirmed("a", "ref")
    with bus.subscribe("device:a") as listening:
        bus.deliver([ViewChanged(("a",), ("r",)), confirmed, ViewChanged(("a",), ("s",))])

        assert listening.taken() == [
            ViewChanged(("a",), ("r",)),
            confirmed,
            ViewChanged(("a",), ("s",)),
        ]


def test_who_is_too_far_behind_is_told_that_alone() -> None:
    bus = LocalBus()
    with bus.subscribe("device:a") as listening:
        bus.deliver(AuthorizationConfirmed("a", str(ref)) for ref in range(LONGEST_QUEUE + 1))

        assert listening.taken() == [Missed()]
