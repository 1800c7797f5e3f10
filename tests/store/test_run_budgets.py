"""What a run may spend, on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, update

from store.database import Database
from store.errors import Met
from store.ledger import budgets
from store.ledger.accept import accept
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Accepted
from store.ledger.types.steps import Step
from store.runs import money, read, write
from store.tables import budgets as table
from tests.store.ground import ROUTES, answered, arrived, asked, call, claim_all, ending, opened


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await opened(database_url, "w")
    yield found
    await found.aclose()


def _new(id_: str, nano: int | None) -> write.New:
    return write.New("t", id_, "workflow", "batch_summarize", "summarize", 2, b"{}", b"hash", budget_nano=nano)


def _items(conn: Connection, count: int, nano: int = 1_000) -> list[Accepted]:
    asks = [asked(f"r/{n}", run_id="r", estimate_nano=nano) for n in range(count)]
    return accept(conn, ROUTES, [arrived(ask) for ask in asks])


def _ended(conn: Connection) -> None:
    """All that waits is called once and answered, for 17 each."""
    for claim in claim_all(conn):
        take_steps(conn, ROUTES, "w", [Step(claim, opens=call(claim))])
        take_steps(conn, ROUTES, "w", [Step(claim, (answered(call(claim)),), then=ending())])


def _stands(conn: Connection) -> tuple[int, int, int] | None:
    found = money.standing(conn, "t", "r")
    return None if found is None else (found.limit_nano, found.spent_nano, found.reserved_nano)


async def test_a_runs_budget_is_made_with_it_goes_with_its_end_and_counts_all_of_it_when_it_comes_back(
    database: Database,
) -> None:
    def first(conn: Connection) -> tuple[object, ...]:
        write.make(conn, _new("r", 2_500), "w", [])
        told = [each.decision for each in _items(conn, 3)]
        (poor,), end = money.refused(conn, "t", "r", read.FIRST, 10)
        return told, poor.id, end, money.over(conn, "t", "r"), _stands(conn)

    refused = (["accepted", "accepted", "refused"], "r/2", None, 1, (2_500, 0, 2_000))
    assert await database.write(first) == refused

    def second(conn: Connection) -> tuple[object, ...]:
        _ended(conn)
        before = _stands(conn)
        money.unbound(conn, "t", "r")
        gone = _stands(conn), budgets.standing(conn), money.refused(conn, "t", "r", read.FIRST, 10)
        money.bound(conn, "t", "r", 1_034)
        return before, gone, _stands(conn), [each.decision for each in _items(conn, 3)]

    # what 2 items cost stands in it: 34, and 1,000 are left for the third
    expected = (2_500, 34, 0), (None, [], ([], None)), (1_034, 34, 0), ["replayed", "replayed", "again"]
    assert await database.write(second) == expected
    assert await database.read(_stands) == (1_034, 34, 1_000)


async def test_runs_that_are_made_at_once_each_get_their_own(database: Database) -> None:
    async def made(number: int) -> None:
        for _ in range(50):
            try:
                await database.write(lambda conn: write.make(conn, _new(f"r{number}", number), "w", []))
            except Met:
                await asyncio.sleep(0.01 * number)
            else:
                return

    await asyncio.gather(*(made(number) for number in range(6)))
    found = await database.read(budgets.standing)
    assert {each.scope.run_id: each.limit_nano for each in found} == {f"r{number}": number for number in range(6)}


async def test_a_recount_puts_right_those_that_stand_and_those_gone_that_still_hold_something(
    database: Database,
) -> None:
    def work(conn: Connection) -> tuple[object, ...]:
        write.make(conn, _new("r", 5_000), "w", [])
        _items(conn, 2)
        (standing,) = budgets.standing(conn)
        money.unbound(conn, "t", "r")  # as it would for an older program: with items that hold
        untouched = budgets.recount(conn)
        conn.execute(update(table).values(reserved_nano=7))
        wrong = budgets.recount(conn)
        conn.execute(update(table).values(reserved_nano=0))
        return untouched, wrong == [standing.id], budgets.recount(conn)  # it holds nothing, so nobody looks

    assert await database.write(work) == ([], True, [])
