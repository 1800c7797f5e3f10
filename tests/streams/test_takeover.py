"""What the default settings promise: a death is noticed in time, whenever in the rhythm of beats and looks it comes."""

import pytest

from store.liveness import Sight
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

PROMISED_S = 15.0
SETTINGS = make_settings()


def noticed(died: float, *, watcher_begins: float = 0.0) -> float:
    """Seconds from a death until somebody buries; the dead one beat at 0 and thrice in a lease, the watcher looks as Keeper does."""
    every = SETTINGS.lease_s / 3
    last = died // every * every
    sight, at = Sight(SETTINGS.lease_s), watcher_begins
    while not sight.silent({"w": min(last, at // every * every)}, at, at):
        at += min(SETTINGS.poll_s, SETTINGS.lease_s / 6)
    return at - died


@pytest.mark.parametrize("died", [20.0, 21.1, 22.5, 23.3, 23.4, 24.9])
def test_one_that_was_watched(died: float) -> None:
    assert SETTINGS.lease_s * 2 / 3 - 1 < noticed(died) <= SETTINGS.lease_s + 1 < PROMISED_S


def test_by_its_own_successor() -> None:
    """A single worker, started again by its supervisor; four seconds are a start."""
    assert noticed(23.3, watcher_begins=27.5) <= PROMISED_S
