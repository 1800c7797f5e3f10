"""How much of a key's minute waiting work may have: by table."""

import asyncio

import pytest

from store.ledger import quotas
from store.ledger.pacing import Asking, Turn, turn
from store.ledger.quotas import Most, lend
from tests.store.ground import POOL, opened

NOTHING_TAKEN = (0, 0)
TEN = Most(10, None)

TURNS: list[tuple[str, Most, tuple[int, int], float, list[int], Turn]] = [
    # what, limits, taken, seconds passed, tokens of each, turn
    ("one goes as the minute begins", TEN, NOTHING_TAKEN, 0.0, [1] * 5, Turn(1, 6.0)),  # the second is due at 6 s
    ("half of the minute, six: those due at 0, 6, .. 30", TEN, NOTHING_TAKEN, 30.0, [1] * 9, Turn(6, 6.0)),
    ("others have taken more than is due", TEN, (9, 0), 30.0, [1], Turn(0, 24.0)),  # the tenth is due at 54 s
    ("nothing is left", TEN, (10, 0), 30.0, [1], Turn(0, 30.0)),
    ("one a minute goes at once", Most(1, None), NOTHING_TAKEN, 0.1, [1, 1], Turn(1, 59.9)),
    ("at the end all of it", TEN, NOTHING_TAKEN, 59.999, [1] * 12, Turn(10, 0.05)),
    ("tokens: 100 are due at 6 s", Most(None, 1000), (0, 100), 5.0, [100], Turn(0, 1.0)),
    ("tokens: as soon as less is taken than is due", Most(None, 1000), (0, 99), 6.0, [500], Turn(1, 0.0)),
    ("tokens: what does not fit waits for the next minute", Most(None, 1000), (0, 600), 50.0, [500], Turn(0, 10.0)),
    ("one larger than a minute takes all of it", Most(None, 1000), NOTHING_TAKEN, 1.0, [5000, 1], Turn(1, 59.0)),
    ("both must be due", Most(10, 1000), (0, 500), 10.0, [1], Turn(0, 20.0)),
    ("nothing is bounded", Most(None, None), NOTHING_TAKEN, 0.0, [9] * 4, Turn(4, 0.0)),
    ("nothing waits", TEN, (10, 0), 1.0, [], Turn(0, 0.0)),
]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("most", "taken", "passed_s", "needs", "found"), [row[1:] for row in TURNS], ids=[row[0] for row in TURNS]
)
def test_a_turn(most: Most, taken: tuple[int, int], passed_s: float, needs: list[int], found: Turn) -> None:
    told = turn(most, *taken, passed_s, needs)
    assert (told.count, told.wait_s) == (found.count, pytest.approx(found.wait_s))


async def test_several_processes_take_a_minute_together(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "now", lambda _: 90.0)
    database = await opened(database_url)

    async def take(asking: Asking) -> Turn:
        return asking.turn(await database.write(lambda conn: lend(conn, POOL, TEN, asking.wish)))

    got = await asyncio.gather(*(take(Asking(TEN, [1] * 4)) for _ in range(3)))
    assert sum(each.count for each in got) == 6
    rest = await take(Asking(TEN, [1] * 9, evenly=False))
    assert rest == Turn(4, 30.0)
    await database.aclose()
