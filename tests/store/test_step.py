"""What happens to leased rows, where a walk of single events does not come."""

import pytest
from sqlalchemy import Connection, select, update

from schemas.result import Status
from store import tables
from store.database import Database
from store.ledger import queries
from store.ledger.accept import accept
from store.ledger.claim import claim
from store.ledger.step import take_steps
from store.ledger.types.arrivals import CancelAsk
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.steps import Closing, Retry, Step, Stepped
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened


@pytest.fixture
async def database(database_url: str) -> Database:
    found = await opened(database_url, "w")
    yield found
    await found.aclose()


async def _calling(database: Database, **changes: object) -> Claimed:
    """A row whose first call is open."""

    def work(conn: Connection) -> Claimed:
        accept(conn, ROUTES, [arrived(asked(**changes), 0)])
        (mine,) = claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))]).rows
        mine.attempts += 1
        take_steps(conn, ROUTES, "w", [Step(mine, opens=call(mine))])
        return mine

    return await database.write(work)


async def _step(database: Database, *steps: Step) -> list[Stepped]:
    return await database.write(lambda conn: take_steps(conn, ROUTES, "w", steps))


async def test_a_call_closed_twice_in_one_batch_is_booked_once(database: Database) -> None:
    """A caller that was stopped leaves its step behind; the one that stops it closes the same call."""
    mine = await _calling(database)
    wasted = Closing(call(mine), "wasted", event=True, input_tokens=10, cost_nano=99)
    stop = Step(mine, (wasted,), then=ending(Status.CANCELLED))
    await _step(database, Step(mine, (answered(call(mine)),)), stop)
    days = await database.read(lambda conn: queries.days(conn, "0", "9"))
    assert [(day.calls, day.cost_nano) for day in days] == [(1, 17)]


async def test_a_repeated_answer_gets_the_recorded_body(database: Database) -> None:
    mine = await _calling(database)
    step = Step(mine, (answered(call(mine)),), then=ending())
    first, second = [*await _step(database, step), *await _step(database, step)]
    assert first.body is not None
    assert second == Stepped(held=True, body=first.body)


async def test_another_try_of_a_cancelled_row_is_its_end(database: Database) -> None:
    mine = await _calling(database)
    cancel = arrived(CancelAsk("t", "summarize", "a"), 0, topic="control")
    await database.write(lambda conn: accept(conn, ROUTES, [cancel]))
    step = Step(mine, (Closing(call(mine), "error", event=False),), then=Retry(60))
    (first,), (again,) = await _step(database, step), await _step(database, step)
    assert (first.held, again.held) == (True, True)  # the outcome of the first commit may have been unknown
    state = select(tables.requests.c.state)
    assert await database.read(lambda conn: conn.execute(state).scalar_one()) == "cancelled"


async def test_a_stale_fence_books_an_open_call_as_wasted_and_drops_the_body(database: Database) -> None:
    mine = await _calling(database)
    taken_over = update(tables.requests).values(fence=tables.requests.c.fence + 1)
    await database.write(lambda conn: conn.execute(taken_over))
    assert await _step(database, Step(mine, (answered(call(mine)),), then=ending())) == [Stepped(held=False)]
    columns = (tables.executions.c.outcome, tables.executions.c.cost_nano, tables.executions.c.answer)
    assert tuple(await database.read(lambda conn: conn.execute(select(*columns)).one())) == ("wasted", 17, None)
