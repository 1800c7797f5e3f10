"""Whose heart has stopped, and whose only seems to: each row is what one process saw, look by look."""

import pytest

from store.liveness import Sight

pytestmark = pytest.mark.fast

LEASE_S = 12.0
Looks = list[tuple[float, float, dict[str, float]]]
"""Our monotonic time, the database's time, everybody's last beat."""


def buried(looks: Looks) -> dict[float, list[str]]:
    """Who is to be buried, by the time of the look; looks that bury nobody are left out."""
    sight = Sight(LEASE_S)
    found = {at: sorted(sight.silent(beats, now, at)) for at, now, beats in looks}
    return {at: gone for at, gone in found.items() if gone}


def each_second(first: int, last: int, beat: float, now: float = 1000.0) -> Looks:
    """`beat` stays the last one of worker `w`; the database's time is ours and `now`."""
    return [(float(at), now + at, {"w": beat}) for at in range(first, last + 1)]


@pytest.mark.parametrize(
    ("looks", "first"),
    [
        # its last beat at 0, watched from then on: more than a lease ago at 13, but watched for a whole one at 12
        (each_second(0, 20, 1000.0), 12.0),
        # a newcomer finds one that was dead long before: three quarters of a lease is watched, to be sure
        (each_second(100, 120, 1000.0), 109.0),
        # its heart goes on, if late: each beat begins the watch anew
        ([*each_second(0, 10, 1000.0), *each_second(11, 20, 1011.0)], None),
        # the database was away from 2 to 40: it beats again at 44, a third of a lease after its return
        ([*each_second(0, 2, 1000.0), *each_second(40, 43, 1000.0), *each_second(44, 50, 1044.0)], None),
        # the same, and it does not come back
        ([*each_second(0, 2, 1000.0), *each_second(40, 60, 1000.0)], 49.0),
        # the database's clock is set an hour ahead at 5: its next beat is known at 8
        ([*each_second(0, 4, 1000.0), *each_second(5, 7, 1000.0, 4600.0), *each_second(8, 15, 4608.0, 4600.0)], None),
        # and an hour back: who has stopped is found by our own clock alone
        ([*each_second(0, 4, 1000.0), *each_second(5, 20, 1000.0, -2600.0)], 12.0),
        # we ourselves were stopped between 3 and 60: others have lived on, and we have not seen it yet
        ([*each_second(0, 3, 1000.0), *each_second(60, 64, 1056.0)], None),
    ],
)
def test_silence_counts_only_while_it_is_watched(looks: Looks, first: float | None) -> None:
    assert next(iter(buried(looks)), None) == first


def test_a_worker_that_left_is_forgotten() -> None:
    sight = Sight(LEASE_S)
    for at in range(12):
        sight.silent({"w": 0.0}, 1000.0 + at, float(at))
    assert sight.silent({}, 1012.0, 12.0) == {}
