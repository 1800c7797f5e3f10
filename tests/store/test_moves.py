"""A row that goes on to another pool: what was answered there stays there, what was booked stays booked."""

from dataclasses import replace

from sqlalchemy import select

from schemas.routes import Pinned
from store.ledger import queries
from store.ledger.accept import accept
from store.ledger.claim import claim, ensure_slots
from store.ledger.step import take_steps
from store.ledger.types.claims import Want
from store.ledger.types.steps import Move, Step
from store.tables import daily_costs, executions, outbox, requests
from tests.store.ground import ELSEWHERE_POOL, ROUTES, answered, arrived, asked, call, ending, opened, start_call


async def test_answers_are_taken_over_only_by_the_model_that_made_them(database_url: str) -> None:
    database = await opened(database_url, "w")
    await database.write(lambda conn: ensure_slots(conn, [(ELSEWHERE_POOL, "n", 1)]))
    route = Pinned(name="r").model_dump_json()
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(asked(route=route, fingerprint=b"f"), 0)]))
    first = await database.write(start_call)
    kept = replace(answered(call(first), 17), answer=b"half")
    move = Step(first, (kept,), then=Move(*ELSEWHERE_POOL, paid=True, route=route))
    (stepped,) = await database.write(lambda conn: take_steps(conn, ROUTES, "w", [move]))
    assert (stepped.held, stepped.woken) == (True, {ELSEWHERE_POOL})
    (second,) = (await database.write(lambda conn: claim(conn, ROUTES, "w", [Want(ELSEWHERE_POOL, 1, (0, 0, 0))]))).rows
    assert (second.pk, second.fence, second.paid) == (first.pk, first.fence + 1, True)
    here = await database.read(lambda conn: queries.past_calls(conn, second))
    there = await database.read(lambda conn: queries.past_calls(conn, first))
    assert [(past.answer, past.here, past.cost_nano) for past in here] == [(None, False, 17)]
    assert [(past.answer, past.here) for past in there] == [(b"half", True)]
    # whoever held it before books nothing and changes nothing
    (late,) = await database.write(lambda conn: take_steps(conn, ROUTES, "w", [replace(move, then=ending())]))
    assert not late.held
    await database.write(lambda conn: take_steps(conn, ROUTES, "w", [Step(second, opens=call(second, 2))]))
    end = Step(second, (answered(call(second, 2), 5),), then=ending())
    await database.write(lambda conn: take_steps(conn, ROUTES, "w", [end]))

    days = select(daily_costs.c.provider, daily_costs.c.cost_nano).order_by(daily_costs.c.provider)
    assert await database.read(lambda conn: [tuple(row) for row in conn.execute(days)]) == [("fake", 17), ("other", 5)]
    calls = select(executions.c.provider, executions.c.number).order_by(executions.c.number)
    assert await database.read(lambda conn: [tuple(row) for row in conn.execute(calls)]) == [("fake", 1), ("other", 2)]
    assert await database.read(lambda conn: conn.execute(select(requests.c.fingerprint)).scalar_one()) is None
    assert len(await database.read(lambda conn: conn.execute(select(outbox)).all())) == 3  # two usages, one result
    await database.aclose()
