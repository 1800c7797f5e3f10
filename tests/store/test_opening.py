"""A first call's intent stands with the commit that accepts and leases its request, if a slot is there for everybody."""

from dataclasses import MISSING, fields

import pytest
from sqlalchemy import Connection, select

from store import tables
from store.database import Database, parse_url
from store.ledger.accept import accept
from store.ledger.claim import Claims, claim
from store.ledger.opening import open_first
from store.ledger.order import Pair, Queues, Waiting
from store.ledger.transaction import Committed, Wants
from store.ledger.types.arrivals import First
from store.ledger.types.claims import Claimed, Slot, Want
from store.ledger.types.steps import Step
from store.ledger.writer import Writer
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened
from tests.store.test_writer import Uncertain

EMPTY = Want(POOL, 5, (0, 0, 0))
_NEEDED = sum(1 for each in fields(Claimed) if each.default is MISSING and each.default_factory is MISSING)


@pytest.fixture
async def database(database_url: str) -> Database:
    found = await opened(database_url, "w", slots=3)
    yield found
    await found.aclose()


def _begin(conn: Connection, count: int, want: Want = EMPTY, **changes: object) -> Claims:
    accept(conn, ROUTES, [arrived(asked(str(i), **changes), i) for i in range(count)])
    found = claim(conn, ROUTES, "w", [want])
    return open_first(conn, {row.pk: First(call(row)) for row in found.rows}, [want], found)


def _states(conn: Connection) -> list[tuple[str, int, str | None]]:
    """Of each row: its state, its attempts, the outcome of its call or that it has none."""
    r, e = tables.requests.c, tables.executions.c
    found = select(r.state, r.attempts, e.id, e.outcome).join_from(
        tables.requests, tables.executions, e.request_pk == r.pk, isouter=True
    )
    return [
        (row.state, row.attempts, (row.outcome or "open") if row.id else None)
        for row in conn.execute(found.order_by(r.pk))
    ]


async def test_it_is_open_when_its_row_has_a_slot(database: Database) -> None:
    claims = await database.write(lambda conn: _begin(conn, 2))
    assert await database.read(_states) == [("calling", 1, "open")] * 2
    assert ([row.attempts for row in claims.rows], len(claims.begun), len(claims.slots)) == ([1, 1], 2, 2)


async def test_none_is_opened_while_a_row_must_wait_for_its_slot(database: Database) -> None:
    """Which of them waits is not for this to say."""
    claims = await database.write(lambda conn: _begin(conn, 4))
    assert (len(claims.rows), len(claims.slots), claims.begun) == (4, 3, {})
    assert await database.read(_states) == [("leased", 0, None)] * 4


async def test_a_row_that_is_held_already_goes_first(database: Database) -> None:
    held = Queues([(Pair(0, "t"), Waiting(0.0, -i, 1, 0.0)) for i in range(1, 4)])
    want = Want(POOL, 3, held.counts(), held=held)
    claims = await database.write(lambda conn: _begin(conn, 1, want))
    assert (len(claims.slots), claims.begun) == (3, {})


async def test_a_call_that_is_not_built_in_time_is_opened_later(database: Database) -> None:
    def work(conn: Connection) -> Claims:
        accept(conn, ROUTES, [arrived(asked(), 0)])
        found = claim(conn, ROUTES, "w", [EMPTY])
        return open_first(conn, {row.pk: First() for row in found.rows}, [EMPTY], found)

    assert (await database.write(work)).begun == {}
    assert await database.read(_states) == [("leased", 0, None)]


async def test_a_commit_whose_outcome_is_unknown_leaves_no_call_open(database_url: str) -> None:
    """The row that it opened waits again, and is leased by whoever learns of it; its slot goes back with the audit."""
    await (await opened(database_url, "w", slots=3)).aclose()
    database = Uncertain(parse_url(database_url))
    writer = Writer(database, ROUTES, "w")
    leased: list[Claimed] = []
    slots: set[Slot] = set()

    def learn(done: Committed) -> None:
        if done.claims:
            leased.extend(done.claims.rows)
            slots.update(done.claims.slots)

    writer.wants = lambda: Wants([EMPTY]) if not leased else Wants()
    writer.holds = lambda: ({row.pk for row in leased}, slots)
    writer.listeners.append(learn)
    writer.start()
    probe = Claimed(*[None] * _NEEDED)
    probe.pk, probe.generation, probe.fence = 1, 1, 1
    first = First(call(probe))
    database.lose = 1
    arrival = arrived(asked())
    (found,) = await writer.accept([type(arrival)(arrival.what, None, None, arrival.value, b"[]", first)])
    writer.claim_soon()
    (mine,) = leased or [None]
    assert (found.decision, mine and (mine.attempts, mine.fence)) == ("duplicate", (0, 2))
    assert await database.read(_states) == [("leased", 0, "error")]
    again = call(mine, attempt="-again")
    mine.attempts += 1
    assert (await writer.step(Step(mine, opens=again))).held
    assert (await writer.step(Step(mine, (answered(again),), then=ending()))).body is not None
    assert await writer.audit() == 1
    await writer.aclose()
    await database.aclose()
