"""Who leads, and what is put right of a day's costs: on both databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Connection, select, update

from store import leading
from store.database import Database, now
from store.ledger import life, rollup
from store.ledger.accept import accept
from store.ledger.step import take_steps
from store.ledger.types.steps import Closing, Step
from store.tables import daily_corrections, daily_costs
from tests.store.ground import ROUTES, answered, arrived, asked, call, ending, opened, start_call
from tests.store.plans import plans


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = await opened(database_url, "w", "v")
    yield made
    await made.aclose()


async def test_one_leads_until_it_leaves_or_is_taken_for_dead(database: Database) -> None:
    async def lead(worker: str) -> bool:
        return await database.write(lambda conn: leading.lead(conn, "r", worker))

    async def leader() -> str | None:
        found = await database.read(lambda conn: leading.leader(conn, "r"))
        return None if found is None else found.worker

    assert (await leader(), await lead("w"), await lead("v"), await lead("w"), await leader()) == (
        None,
        True,
        False,
        False,
        "w",
    )
    await database.write(lambda conn: life.bury(conn, ROUTES, ["w"]))  # without a word of its own
    assert (await leader(), await lead("v"), await leader()) == (None, True, "v")
    await database.write(lambda conn: leading.resign(conn, "r", "w"))  # no longer its own to give
    assert await leader() == "v"
    await database.write(lambda conn: leading.resign(conn, "r", "v"))
    assert await leader() is None


async def test_of_many_who_want_to_lead_at_once_one_does(database: Database) -> None:
    found = await asyncio.gather(
        *(database.write(lambda conn, w=w: leading.lead(conn, "r", w)) for w in ("w", "v") * 5)
    )
    assert sum(found) == 1


def _called(conn: Connection, *costs: int | None) -> None:
    for number, cost in enumerate(costs):
        accept(conn, ROUTES, [arrived(asked(f"a{number}"))])
        mine = start_call(conn)
        take_steps(conn, ROUTES, "w", [Step(mine, (answered(call(mine), cost),), then=ending())])


def _wasted(conn: Connection) -> None:
    """Called, and booked at what it may have cost."""
    accept(conn, ROUTES, [arrived(asked("wasted"))])
    mine = start_call(conn)
    lost = Closing(call(mine), "wasted", event=True, input_tokens=10, output_tokens=5, estimated=True, cost_nano=1_000)
    take_steps(conn, ROUTES, "w", [Step(mine, (lost,), then=ending())])


def _sums(conn: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in conn.execute(select(daily_costs))]


def _today(conn: Connection) -> date:
    return datetime.fromtimestamp(now(conn), UTC).date()


async def test_a_day_as_it_was_added_up_is_that_of_its_calls(database: Database) -> None:
    def work(conn: Connection) -> rollup.Found:
        _called(conn, 17, None, 0)
        _wasted(conn)
        return rollup.put_right(conn, _today(conn), "r")

    assert await database.write(work) == rollup.Found(1, 1_017, ())


async def test_a_falsified_day_is_put_right_once_and_it_is_told_what_was_done(database: Database) -> None:
    def prepare(conn: Connection) -> tuple[date, list[tuple[object, ...]]]:
        _called(conn, 17, 30)
        true = _sums(conn)
        conn.execute(update(daily_costs).values(cost_nano=40, calls=5, output_tokens=daily_costs.c.output_tokens - 1))
        conn.execute(
            daily_costs.insert(),
            {"date": str(_today(conn)), "provider": "none", "model": "m", "tenant": "t", "calls": 1, "cost_nano": 9}
            | dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "unpriced_calls"), 0),
        )
        return _today(conn), true

    day, true = await database.write(prepare)
    found, *others = await asyncio.gather(
        *(database.write(lambda conn, r=r: rollup.put_right(conn, day, r)) for r in ("one", "two", "three"))
    )
    by_run = {len(each.differences) for each in (found, *others)}
    after = await database.read(_sums)
    lines = await database.read(lambda conn: rollup.corrected(conn, day, day, None, 10))
    told = [(row.provider, row.calls, row.input_tokens, row.output_tokens, row.cost_nano) for row in lines]
    assert by_run == {0, 2}  # whoever came first has found it all
    assert [row for row in after if row[1] != "none"] == true
    assert [row[4:] for row in after if row[1] == "none"] == [(0, 0, 0, 0, 0, 0)]
    assert told == [("fake", -3, 0, 1, 7), ("none", -1, 0, 0, -9)]
    assert len({row.run_id for row in lines}) == 1
    assert await database.read(lambda conn: rollup.corrected(conn, day, day, "nobody", 10)) == []


async def test_a_day_of_which_everything_was_lost_is_made_again(database: Database) -> None:
    def work(conn: Connection) -> bool:
        _called(conn, 17, 30)
        true = _sums(conn)
        conn.execute(daily_costs.delete())
        rollup.put_right(conn, _today(conn), "r")
        return _sums(conn) == true

    assert await database.write(work)


async def test_the_calls_of_a_day_are_found_by_their_index(database: Database) -> None:
    def work(conn: Connection) -> dict[str, str]:
        _called(conn, *range(40))
        return plans(conn, lambda: rollup.put_right(conn, date(2026, 1, 1), "r"))

    found = await database.write(work)
    assert any("executions_closed" in plan for plan in found.values()), found
    assert (await database.read(lambda conn: conn.execute(select(daily_corrections)).all())) == []
