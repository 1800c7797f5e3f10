"""Money is reserved before a call, in the ledger: what fits goes through, whoever asks and however many at once."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from schemas.result import Status
from store.database import Database
from store.errors import Met
from store.ledger import budgets, life
from store.ledger.accept import accept
from store.ledger.budgeting import Scope
from store.ledger.budgets import Wanted
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Accepted, Ask
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Step, Stepped
from store.ledger.writer import Writer
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, claim_all, ending, opened

TENANT = Scope("t")


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    """What the state machine walks on both is told here by one."""
    found = await opened(sqlite_url, "w")
    yield found
    await found.aclose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await opened(database_url, "w")
    yield found
    await found.aclose()


async def _put(database: Database, limit: int, scope: Scope = TENANT, **more: Any) -> int:
    wanted = Wanted(scope, more.pop("period", "day"), limit, **more)
    return (await database.write(lambda conn: budgets.put(conn, wanted, "test"))).id


async def _stands(database: Database, id_: int) -> tuple[int, int, int]:
    """Spent, reserved, overrun."""
    (found,) = await database.read(lambda conn: budgets.standing(conn, id_))
    return found.spent_nano, found.reserved_nano, found.overrun_nano


async def _accept(database: Database, *asks: Ask, kafka: bool = True) -> list[Accepted]:
    arrivals = [arrived(ask, i if kafka else None) for i, ask in enumerate(asks)]
    return await database.write(lambda conn: accept(conn, ROUTES, arrivals))


async def _step(database: Database, step: Step) -> Stepped:
    return (await database.write(lambda conn: take_steps(conn, ROUTES, "w", [step])))[0]


def _asks(count: int, nano: int | None = 1_000, **more: Any) -> list[Ask]:
    return [asked(str(i), estimate_nano=nano, **more) for i in range(count)]


async def test_what_does_not_fit_is_answered_before_the_queue(sqlite: Database) -> None:
    id_ = await _put(sqlite, 2_500)
    found = await _accept(sqlite, *_asks(3))
    assert [each.decision for each in found] == ["accepted", "accepted", "refused"]
    told = json.loads(found[2].body or b"")
    assert (told["status"], told["error"]["type"]) == ("failed", "budget_exceeded")
    assert told["error"]["details"]["left_usd"] == "0.000000500"
    assert await _stands(sqlite, id_) == (0, 2_000, 0)
    kinds = await sqlite.read(lambda conn: list(conn.execute(text("SELECT topic FROM outbox")).scalars()))
    assert sorted(kinds) == [ROUTES.dlq, ROUTES.results]  # it may be sent again when there is room


async def test_over_http_a_refusal_is_no_dead_letter(sqlite: Database) -> None:
    await _put(sqlite, 0)
    (found,) = await _accept(sqlite, *_asks(1), kafka=False)
    assert found.decision == "refused"
    assert not await sqlite.read(lambda conn: list(conn.execute(text("SELECT topic FROM outbox")).scalars()))


async def test_a_refused_request_runs_when_it_is_sent_again_and_fits(sqlite: Database) -> None:
    await _put(sqlite, 500)
    assert (await _accept(sqlite, *_asks(1), kafka=False))[0].decision == "refused"
    await _put(sqlite, 1_000)
    (again,) = await _accept(sqlite, *_asks(1), kafka=False)
    assert (again.decision, again.generation) == ("again", 2)


async def test_a_shadow_budget_counts_and_lets_everything_pass(sqlite: Database) -> None:
    id_ = await _put(sqlite, 1_500, hard=False)
    assert {each.decision for each in await _accept(sqlite, *_asks(3))} == {"accepted"}
    (found,) = await sqlite.read(lambda conn: budgets.standing(conn, id_))
    assert (found.reserved_nano, found.refused) == (3_000, 2)


UNPRICED = [(True, False, "refused"), (True, True, "accepted"), (False, False, "accepted")]


@pytest.mark.parametrize(("hard", "unpriced", "decision"), UNPRICED)
async def test_what_nothing_prices_is_refused_by_a_hard_budget_unless_it_lets_it_pass(
    sqlite: Database, hard: bool, unpriced: bool, decision: str
) -> None:
    await _put(sqlite, 10**9, hard=hard, unpriced=unpriced)
    (found,) = await _accept(sqlite, *_asks(1, None))
    assert found.decision == decision


async def test_followers_and_cached_answers_reserve_nothing(sqlite: Database) -> None:
    id_ = await _put(sqlite, 10_000)
    same = {"fingerprint": b"f", "fresh_s": 3600.0}
    await _accept(sqlite, *_asks(3, **same))
    assert await _stands(sqlite, id_) == (0, 1_000, 0)
    mine = await _started(sqlite)
    end = Step(mine, (answered(call(mine)),), then=ending())
    assert len((await _step(sqlite, end)).shared) == 2
    assert await _stands(sqlite, id_) == (17, 0, 0)
    (cached,) = await _accept(sqlite, asked("new", estimate_nano=1_000, **same), kafka=False)
    assert (cached.decision, await _stands(sqlite, id_)) == ("cached", (17, 0, 0))


async def _started(database: Database, nano: int | None = 1_000) -> Claimed:
    mine = (await database.write(claim_all))[0]
    stepped = await _step(database, Step(mine, opens=call(mine, nano=nano)))
    assert stepped.refused is None
    return mine


async def test_a_second_call_stays_within_the_hold_or_gets_more_or_ends_with_what_was_spent(sqlite: Database) -> None:
    id_ = await _put(sqlite, 2_000)
    await _accept(sqlite, *_asks(1))
    mine = await _started(sqlite)
    first = answered(call(mine), 600)
    stepped = await _step(sqlite, Step(mine, (first,), opens=call(mine, 2, nano=400)))
    assert (stepped.held_nano, await _stands(sqlite, id_)) == ((str(id_), 400), (600, 400, 0))
    second = answered(call(mine, 2), 100)
    stepped = await _step(sqlite, Step(mine, (second,), opens=call(mine, 3, nano=1_300)))
    assert (stepped.refused, await _stands(sqlite, id_)) == (None, (700, 1_300, 0))
    third = answered(call(mine, 3), 1_300)
    stepped = await _step(sqlite, Step(mine, (third,), opens=call(mine, 4, nano=1)))
    assert stepped.refused is not None and stepped.refused.details["left_usd"] == "0.000000"
    await _step(sqlite, Step(mine, then=ending(Status.FAILED, stepped.refused)))
    assert await _stands(sqlite, id_) == (2_000, 0, 0)


async def test_a_call_that_nothing_prices_takes_its_hold_along_under_a_new_shadow_budget(sqlite: Database) -> None:
    old = await _put(sqlite, 5_000, hard=False)
    await _accept(sqlite, *_asks(1))
    mine = (await sqlite.write(claim_all))[0]
    new = await _put(sqlite, 5_000, Scope(model="fake/*"), hard=False)
    assert (await _step(sqlite, Step(mine, opens=call(mine, nano=None)))).refused is None
    assert [(await _stands(sqlite, id_))[1] for id_ in (old, new)] == [1_000, 1_000]
    assert await sqlite.write(budgets.recount) == []


async def test_what_costs_more_than_was_feared_is_counted_as_an_overrun(sqlite: Database) -> None:
    id_ = await _put(sqlite, 1_000)
    await _accept(sqlite, *_asks(1))
    mine = await _started(sqlite)
    await _step(sqlite, Step(mine, (answered(call(mine), 1_700),), then=ending()))
    assert await _stands(sqlite, id_) == (1_700, 0, 700)


async def test_a_death_frees_what_was_held_and_books_what_may_have_been_paid(sqlite: Database) -> None:
    id_ = await _put(sqlite, 5_000)
    await _accept(sqlite, *_asks(2, paid=True, on_ambiguous="fail"))
    await _started(sqlite)
    assert await _stands(sqlite, id_) == (0, 2_000, 0)
    await sqlite.write(lambda conn: life.bury(conn, ROUTES, ["w"]))
    assert await _stands(sqlite, id_) == (1_000, 1_000, 0)  # one ended as ambiguous, the other waits again


async def test_a_budget_of_a_day_counts_what_that_day_has_cost_already(database: Database) -> None:
    await _accept(database, *_asks(2))
    mine = await _started(database)
    await _step(database, Step(mine, (answered(call(mine), 300),), then=ending()))
    whose = [
        (await _put(database, 10**6), 300),
        (await _put(database, 10**6, Scope(model="fake/*")), 300),
        (await _put(database, 10**6, Scope(model="fake/other")), 0),
        (await _put(database, 10**6, Scope("u")), 0),
        (await _put(database, 10**6, period="total"), 0),
    ]
    assert [(await _stands(database, id_))[0] for id_, _ in whose] == [spent for _, spent in whose]


async def test_a_call_that_is_under_way_counts_for_a_budget_that_is_made_meanwhile(database: Database) -> None:
    await _accept(database, *_asks(1))
    mine = await _started(database)
    id_ = await _put(database, 10**6)
    await _step(database, Step(mine, (answered(call(mine), 300),), then=ending()))
    assert await _stands(database, id_) == (300, 0, 300)


async def test_what_an_older_program_forgets_to_give_back_is_put_right(database: Database) -> None:
    id_ = await _put(database, 5_000)
    await _accept(database, *_asks(2))
    ended = text("UPDATE requests SET state = 'succeeded', completed_at = 1 WHERE id = '0'")
    await database.write(lambda conn: conn.execute(ended))
    assert (await _stands(database, id_))[1] == 2_000
    found = [await database.write(budgets.recount) for _ in range(2)]
    assert (found, await _stands(database, id_)) == ([[id_], []], (0, 1_000, 0))


async def test_each_share_is_told_once(sqlite: Database) -> None:
    id_ = await _put(sqlite, 1_000)
    await _accept(sqlite, *_asks(1))
    mine = await _started(sqlite)
    await _step(sqlite, Step(mine, (answered(call(mine), 850),), then=ending()))
    told = [await sqlite.write(lambda conn: budgets.watch(conn, budgets.due(conn))) for _ in range(2)]
    assert [[each.share for each in found] for found in told] == [[80], []]
    history = await sqlite.read(lambda conn: [row["event"] for row in budgets.history(conn, id_)])
    assert history == ["80", "set"]


# ---- through the writer: a copy of what there is, and no statement for what no budget concerns


async def _written(database: Database, writer: Writer, ask: Ask) -> tuple[str, int]:
    """What was decided, and by how many statements."""
    seen: list[str] = []
    engine = database.sync or (database.asynchronous and database.asynchronous.sync_engine)

    def hear(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", hear)
    try:
        (found,) = await writer.accept([arrived(ask)])
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    return found.decision, len(seen)


async def test_a_new_budget_holds_from_the_next_request_on_and_others_cost_no_statement(database: Database) -> None:
    writer = Writer(database, ROUTES, "w")
    writer.start()
    _, plain = await _written(database, writer, asked("a", estimate_nano=1_000))
    await _put(database, 500)
    decision, _ = await _written(database, writer, asked("b", estimate_nano=1_000))
    assert decision == "refused"
    _, other = await _written(database, writer, asked("c", tenant="u", estimate_nano=1_000))
    _, free = await _written(database, writer, asked("d", estimate_nano=0))
    assert (other, free) == (plain, plain)
    await database.write(lambda conn: budgets.remove(conn, 1, "test"))
    assert (await _written(database, writer, asked("e", estimate_nano=1_000)))[0] == "accepted"
    await writer.aclose()


async def test_two_who_set_budgets_at_once_do_not_pass_for_one(database: Database) -> None:
    """Otherwise a process that has seen one of them would never look for the other."""

    async def put(tenant: str) -> int:
        while True:
            try:
                return await _put(database, 1, Scope(tenant))
            except Met:
                await asyncio.sleep(0)

    await asyncio.gather(*(put(f"t{i}") for i in range(8)))
    versions = await database.read(lambda conn: list(conn.execute(text("SELECT version FROM budgets")).scalars()))
    assert sorted(versions) == list(range(1, 9))


# ---- many at once

_RACER = """
import asyncio, sys
from store.database import Database, parse_url
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.records import Routes
from store.ledger.writer import Writer

def asked(id_):
    what = Ask("t", "summarize", id_, b"one", provider="fake", model="m", estimate_nano=1_000)
    return Arrival(what, None, None, b'{"input": {}}', b"[]")

async def main(url, name, count):
    database = Database(parse_url(url))
    writer = Writer(database, Routes("results", "usage", "dlq", lambda topic, key: 0), name)
    writer.start()
    await database.read(lambda conn: None)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    asks = [asked(f"{name}-{i}") for i in range(count)]
    found = await asyncio.gather(*(writer.accept([each]) for each in asks))
    print(sum(each[0].decision == "accepted" for each in found), flush=True)
    await writer.aclose()
    await database.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_of_200_at_once_in_several_processes_a_budget_for_ten_lets_ten_through(
    database: Database, database_url: str
) -> None:
    id_ = await _put(database, 10_000)
    pipe = asyncio.subprocess.PIPE
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _RACER, database_url, f"racer{i}", str(66 + (i < 2)), stdin=pipe, stdout=pipe
        )
        for i in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None and (await racer.stdout.readline()) == b"ready\n"
    ends = await asyncio.gather(*(racer.communicate(b"\n") for racer in racers))
    assert sum(int(out) for out, _ in ends) == 10
    (found,) = await database.read(lambda conn: budgets.standing(conn, id_))
    assert (found.reserved_nano, found.refused) == (10_000, 190)


@pytest.mark.postgres
async def test_writers_of_the_same_budgets_never_wait_in_a_ring(postgres_database: str) -> None:
    """Each brings requests of two tenants, ends calls and begins others, in an order of its own."""
    names = [f"w{i}" for i in range(4)]
    database = await opened(postgres_database, *names)
    ids = [await _put(database, 10**12, Scope(name)) for name in ("t", "u")]
    ids.append(await _put(database, 10**12, Scope(model=f"{POOL[0]}/*")))
    for name in names:
        leased = [asked(f"{name}-{i}", tenant="tu"[i % 2], estimate_nano=10) for i in range(6)]
        await _accept(database, *leased, kafka=False)
    claims = {name: await database.write(lambda conn, name=name: _some(conn, name)) for name in names}
    writers = [Writer(database, ROUTES, name) for name in names]
    for writer in writers:
        writer.start()

    async def work(writer: Writer, turn: int) -> None:
        mine = claims[writer.worker][:: 1 if turn % 2 else -1]
        for i in range(3):
            asks = [asked(f"{writer.worker}-{i}-{j}", tenant="tu"[(j + turn) % 2], estimate_nano=10) for j in range(4)]
            steps = [
                writer.step(Step(claim, _closed(claim, i), opens=call(claim, i + 1, nano=10**6 * (i + 1))))
                for claim in mine
            ]
            await asyncio.gather(*steps, *(writer.accept([arrived(ask)]) for ask in asks))
        await asyncio.gather(*(writer.step(Step(claim, _closed(claim, 3), then=ending())) for claim in mine))

    await asyncio.gather(*(work(writer, turn) for turn, writer in enumerate(writers)))
    for writer in writers:
        await writer.aclose()
    rings = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert await database.read(lambda conn: conn.execute(rings).scalar_one()) == 0
    called = sum(len(found) for found in claims.values())
    spent, reserved, overrun = await _stands(database, ids[2])
    assert (spent, reserved, overrun) == (called * 3 * 17, 4 * 3 * 4 * 10 + (24 - called) * 10, 0)
    await database.aclose()


def _some(conn: Connection, name: str) -> list[Claimed]:
    return claim_all(conn, name)[:6]


def _closed(claim: Claimed, number: int) -> tuple[Any, ...]:
    return (answered(call(claim, number)),) if number else ()
