"""Rows that have waited long enough for a model: until when, and where they go then."""

import pytest

from schemas.errors import ErrorType
from schemas.routes import Next, Pinned
from store.ledger import patience
from store.ledger.accept import accept
from store.ledger.claim import claim
from store.ledger.types.claims import Want
from store.tables import requests
from tests.store.ground import ELSEWHERE_POOL, POOL, ROUTES, arrived, asked, opened

UNTIL = [
    (None, None, None),
    (60.0, None, 160.0),
    (60.0, 300.0, 160.0),  # half of 200 s is more
    (60.0, 150.0, 125.0),  # half of 50 s: the next one needs its time too
    (60.0, 90.0, 100.0),  # late already
]


@pytest.mark.fast
@pytest.mark.parametrize(("wait_s", "deadline", "expected"), UNTIL)
def test_until_when(wait_s: float | None, deadline: float | None, expected: float | None) -> None:
    assert patience.until(100.0, wait_s, deadline) == expected


async def test_it_goes_where_slots_are_and_keeps_what_is_left(database_url: str) -> None:
    """To a pool that nobody has made it does not go; what was leased meanwhile stays."""
    left = [Next(provider=ELSEWHERE_POOL[0], model=ELSEWHERE_POOL[1], paid=True, wait_s=60.0)]
    left.append(Next(provider="third", model="m", paid=True))
    route = Pinned(name="r", left=left, patient=True).model_dump_json()
    database = await opened(database_url, "w", slots=1)
    asks = [asked(id_, route=route, wait_s=0.0) for id_ in ("a", "b", "c", "d")]
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(ask) for ask in asks]))
    await database.write(lambda conn: claim(conn, ROUTES, "w", [Want(POOL, 1, (0, 0, 0))]))
    assert await database.read(patience.ahead) == {ELSEWHERE_POOL}
    assert await database.write(lambda conn: patience.move(conn, ROUTES, [])) == 0
    states = await database.read(lambda conn: [row.state for row in conn.execute(requests.select())])
    assert (
        await database.write(lambda conn: patience.move(conn, ROUTES, [ELSEWHERE_POOL])) == states.count("waiting") > 0
    )
    assert await database.write(lambda conn: patience.move(conn, ROUTES, [ELSEWHERE_POOL])) == 0  # it has 60 s there
    rows = await database.read(lambda conn: conn.execute(requests.select().where(requests.c.state == "waiting")).all())
    for row in rows:
        pinned = Pinned.model_validate_json(row.route)
        assert ((row.provider, row.model), row.paid, pinned.patient) == (ELSEWHERE_POOL, True, True)
        assert [each.provider for each in pinned.left] == ["third"]
        assert [(tried.target, tried.error, tried.waited) for tried in pinned.tried] == [
            ("fake/m", ErrorType.OVERLOADED, True)
        ]
        assert 50 < row.move_at - row.accepted_at < 3600
    await database.aclose()
