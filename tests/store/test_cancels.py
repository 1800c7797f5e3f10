"""Cancels: what each finds, those that miss their request, and whole runs."""

import asyncio

import pytest
from sqlalchemy import Connection, select

from store import tables
from store.database import Database
from store.ledger import cancels, life
from store.ledger.accept import accept
from store.ledger.step import take_steps
from store.ledger.types.arrivals import CancelAsk
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Retry, Step
from tests.store.ground import ROUTES, answered, arrived, asked, call, claim_all, ending, opened, refusal, start_call

WANTED = CancelAsk("t", "summarize", "a")


@pytest.fixture
async def database(database_url: str) -> Database:
    found = await opened(database_url, "w", "other")
    yield found
    await found.aclose()


async def _states(database: Database) -> list[str]:
    wanted = select(tables.requests.c.state).order_by(tables.requests.c.pk)
    return list(await database.read(lambda conn: conn.execute(wanted).scalars().all()))


async def test_a_cancel_tells_where_its_request_stood(database: Database) -> None:
    def work(conn: Connection) -> list[str | None]:
        def cancel(name: str) -> str | None:
            return cancels.order(conn, ROUTES, [CancelAsk("t", "summarize", name)], "cli")[0].state

        accept(conn, ROUTES, [arrived(asked("runs"), 0)])
        running = start_call(conn)
        found = [cancel("runs")]
        take_steps(conn, ROUTES, "w", [Step(running, (answered(call(running)),), then=ending())])
        accept(conn, ROUTES, [arrived(asked("waits"), 1)])
        return [*found, cancel("runs"), cancel("waits"), cancel("waits"), cancel("nobody")]

    assert await database.write(work) == ["calling", "succeeded", "waiting", "cancelled", None]
    assert await _states(database) == ["succeeded", "cancelled"]


async def test_another_tenants_request_is_as_unknown_as_none(database: Database) -> None:
    def work(conn: Connection) -> str | None:
        accept(conn, ROUTES, [arrived(asked("a", tenant="theirs"), 0)])
        return cancels.order(conn, ROUTES, [WANTED], "cli")[0].state

    assert await database.write(work) is None
    assert await _states(database) == ["waiting"]


async def test_a_kept_cancel_is_used_up_by_an_invalid_request_too(database: Database) -> None:
    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(WANTED, 0, topic="control")])
        accept(conn, ROUTES, [arrived(asked(failure=refusal()), 0)])
        accept(conn, ROUTES, [arrived(asked(payload_hash=b"two"), 1)])

    await database.write(work)
    assert await _states(database) == ["waiting"]
    assert not await database.read(cancels.missed)


@pytest.mark.postgres
async def test_a_cancel_and_its_request_read_at_the_same_moment_find_each_other(postgres_database: str) -> None:
    """Neither transaction sees the other's row: without the later look the request would run, and the cancel wait."""
    database = await opened(postgres_database, "w")
    assert database.asynchronous is not None
    async with database.asynchronous.begin() as slow:
        await slow.run_sync(lambda conn: accept(conn, ROUTES, [arrived(asked(), 0)]))
        await database.write(lambda conn: accept(conn, ROUTES, [arrived(WANTED, 0, topic="control")]))
    assert (await _states(database), await database.read(cancels.missed)) == (["waiting"], True)
    assert await database.write(lambda conn: cancels.join_missed(conn, ROUTES)) == 1
    assert (await _states(database), await database.read(cancels.missed)) == (["cancelled"], False)
    await database.aclose()


async def test_the_rows_of_a_cancelled_run_are_told_to_their_owner_and_end(database: Database) -> None:
    def begin(conn: Connection) -> tuple[int, list[int], Claimed]:
        accept(conn, ROUTES, [arrived(asked("calls", run_id="r"), 0)])
        calling = start_call(conn)
        accept(conn, ROUTES, [arrived(asked("leased", run_id="r"), 1), arrived(asked("else"), 2)])
        accept(conn, ROUTES, [arrived(asked("theirs", tenant="u", run_id="r"), 3)])
        leased = next(row for row in claim_all(conn) if row.id == "leased")
        count = cancels.of_run(conn, "t", "r")
        cancels.order(conn, ROUTES, [CancelAsk("t", run_id="r")], "cli")
        told = life.told_to_stop(conn, "w")
        assert sorted(told) == sorted([calling.pk, leased.pk])
        return count, told, leased

    count, _, leased = await database.write(begin)
    assert count == 2
    await database.write(lambda conn: take_steps(conn, ROUTES, "w", [Step(leased, then=Retry(0.0))]))
    await database.write(claim_all)
    assert await _states(database) == ["calling", "cancelled", "leased", "leased"]


async def test_a_second_transaction_of_the_look_finds_nothing_to_do(database: Database) -> None:
    found = await asyncio.gather(*(database.write(lambda conn: cancels.join_missed(conn, ROUTES)) for _ in range(2)))
    assert found == [0, 0]
