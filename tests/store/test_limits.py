"""Limits hold for all processes: whoever claims obeys what whoever called was told."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, select, update

from store import tables
from store.database import Database
from store.ledger import limits
from store.ledger.accept import accept
from store.ledger.claim import Claims, claim, ensure_slots
from store.ledger.step import free_slots
from store.ledger.throttle import Heard
from store.ledger.types.claims import Pool, Slot, Want
from tests.store.ground import POOL, ROUTES, arrived, asked, opened, refusal
from tests.store.plans import plans

NODE = "n"
SLOTS = 10


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Database]:
    database = await opened(database_url, "a", "b", slots=SLOTS)
    arrivals = [arrived(asked(str(i)), i) for i in range(100)]
    await database.write(lambda conn: accept(conn, ROUTES, arrivals))
    yield database
    await database.aclose()


async def claimed(database: Database, worker: str, pool: Pool = POOL) -> Claims:
    return await database.write(lambda conn: claim(conn, ROUTES, worker, [Want(pool, SLOTS, (0, 0, 0))]))


async def heard(database: Database, *all_: Heard, freed: tuple[Slot, ...] = ()) -> None:
    await database.write(lambda conn: limits.learn(conn, all_, freed))


async def moved(database: Database, **values: float) -> None:
    """Time passes: the test's clock is what stands in the tables."""
    await database.write(lambda conn: conn.execute(update(tables.pool_limits).values(**values)))


CUT = Heard(*POOL, NODE, cuts=True)
ANSWERED = Heard(*POOL, NODE, answered=True)
REFUSED = Heard(*POOL, NODE, fails=True)


async def test_a_pause_stops_every_worker_until_it_is_over(ledger: Database) -> None:
    await heard(ledger, Heard(*POOL, NODE, cuts=True, pause_s=30.0))
    assert [len((await claimed(ledger, worker)).slots) for worker in ("a", "b")] == [0, 0]
    await moved(ledger, paused_until=1.0, ceiling=None)
    assert len((await claimed(ledger, "b")).slots) == SLOTS


async def test_the_ceiling_bounds_what_all_have_together(ledger: Database) -> None:
    first = await claimed(ledger, "a")
    await ledger.write(lambda conn: free_slots(conn, "a", first.slots))
    await heard(ledger, CUT, freed=first.slots)  # ten were in flight: 7 of 10 from here on
    got = [len((await claimed(ledger, worker)).slots) for worker in ("a", "b")]
    assert got == [7, 0]
    await heard(ledger, *[ANSWERED] * 7)  # 7 + about 7 x 1/7
    assert len((await claimed(ledger, "b")).slots) == 0
    await heard(ledger, ANSWERED)
    assert len((await claimed(ledger, "b")).slots) == 1


async def test_a_limit_that_is_over_leaves_no_row(ledger: Database) -> None:
    first = await claimed(ledger, "a")
    assert first.limits is None
    await heard(ledger, CUT)
    await heard(ledger, *[ANSWERED] * 100)
    await heard(ledger, REFUSED)
    await heard(ledger, ANSWERED)
    found = await ledger.read(limits.read)
    assert (found.pools, found.doors, (await claimed(ledger, "b")).limits) == ({}, {}, None)


async def test_a_shut_door_is_tried_with_one_call_by_one_worker(ledger: Database) -> None:
    await heard(ledger, *[REFUSED] * 5)
    assert len((await claimed(ledger, "a")).slots) == 0
    await ledger.write(lambda conn: conn.execute(update(tables.doors).values(shut_until=1.0)))
    assert [len((await claimed(ledger, worker)).slots) for worker in ("a", "b")] == [1, 0]
    await heard(ledger, ANSWERED)
    assert len((await claimed(ledger, "b")).slots) == SLOTS - 1


async def test_a_shut_door_is_shut_for_every_model_and_other_nodes_stay_open(ledger: Database) -> None:
    other = (POOL[0], "m2")
    await ledger.write(lambda conn: ensure_slots(conn, [(other, NODE, 2), (other, "n2", 2)]))
    await ledger.write(
        lambda conn: accept(conn, ROUTES, [arrived(asked(f"o{i}", model="m2"), 200 + i) for i in range(9)])
    )
    await heard(ledger, *[REFUSED] * 5)
    assert {slot.node for slot in (await claimed(ledger, "a", other)).slots} == {"n2"}


async def test_batch_rows_are_not_kept_out_by_reserved_slots_under_a_low_ceiling(database_url: str) -> None:
    database = await opened(
        database_url, "a", slots=SLOTS
    )  # two of them are reserved, and a realtime request came lately
    lately = asked("lately", lane=0, failure=refusal())
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(lately, 0), arrived(asked("x", lane=2), 1)]))
    await heard(database, CUT)
    await moved(database, ceiling=1.0)
    assert [slot.reserved for slot in (await claimed(database, "a")).slots] == [False]
    await database.aclose()


@pytest.mark.postgres
async def test_a_worker_passes_over_a_limit_that_another_one_goes_by(postgres_database: str) -> None:
    database = await opened(postgres_database, "a", "b", slots=SLOTS)
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(asked(str(i)), i) for i in range(30)]))
    await heard(database, CUT)
    second = Database(database.url)
    assert database.asynchronous is not None
    async with database.asynchronous.begin() as holder:
        await holder.execute(select(tables.pool_limits).with_for_update())
        found = await claimed(second, "b")
    assert (found.slots, found.limits is not None and found.limits.unseen) == ((), {("pool", *POOL)})
    assert len((await claimed(second, "b")).slots) > 0
    await second.aclose()
    await database.aclose()


async def test_nothing_is_asked_of_these_tables_while_nothing_is_limited(ledger: Database) -> None:
    def asked_of(conn: Connection) -> dict[str, str]:
        return plans(
            conn,
            lambda: claim(conn, ROUTES, "a", [Want(POOL, SLOTS, (0, 0, 0))]),
            lambda statement: "pool_limits" in statement or "doors" in statement,
        )

    [only] = await ledger.write(asked_of)
    assert "expires" in only
