"""A claim costs the same in a flood: it reads the small indexes of what waits, and nothing else."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from store import tables
from store.database import Database
from store.ledger import step
from store.ledger.accept import accept
from store.ledger.choose import TENANTS
from store.ledger.claim import Claims, claim, ensure_slots
from store.ledger.order import Order, Pair, Queues, Rules, Waiting
from store.ledger.types.arrivals import Ask
from store.ledger.types.claims import Slot, Want
from store.ledger.writer import Writer
from tests.store.ground import POOL, ROUTES, arrived, asked, opened
from tests.store.plans import plans

FLOOD = 100_000


@pytest.fixture
async def flooded(database_url: str) -> Database:
    """As many ended rows of the normal lane as rows that wait in the batch lane, and statistics that know of both."""
    database = await opened(database_url, "w")
    await database.write(_flood)
    await database.write(lambda conn: conn.execute(text("ANALYZE")))
    yield database
    await database.aclose()


def _flood(conn: Connection) -> None:
    """One row of each kind, copied where it stands: from here these would be 200,000 times 38 values."""
    same = {column.name: 0 for column in tables.requests.c if not column.nullable}
    same |= {"tenant": "t", "operation": "summarize", "id": "", "provider": POOL[0], "model": POOL[1]}
    same |= {
        "on_ambiguous": "retry",
        "paid": False,
        "cancel": False,
        "ordered": False,
        "generation": 1,
        "payload_hash": b"h",
    }
    kinds = [{"state": "succeeded", "lane": 1}, {"state": "waiting", "lane": 2}]
    rows = [{**same, **kind, "pk": -i, "identity": b"%d" % i} for i, kind in enumerate(kinds, 1)]
    conn.execute(insert(tables.requests), rows)
    copied = [name for name in rows[0] if name not in {"pk", "identity"}]
    bytes_of = "CAST({} AS BLOB)" if conn.dialect.name == "sqlite" else "convert_to(CAST({} AS text), 'UTF8')"
    names = ", ".join(copied)
    conn.execute(
        text(
            f"INSERT INTO requests (pk, identity, {names}) "
            "WITH RECURSIVE s(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM s WHERE n < :flood) "
            f"SELECT n - pk * :flood, {bytes_of.format('n - pk * :flood')}, {names} FROM requests, s WHERE pk < 0"
        ),
        {"flood": FLOOD},
    )


def _plans(conn: Connection) -> dict[str, str]:
    """What the claim asks of `requests`, and how the database goes about it."""
    return plans(
        conn,
        lambda: claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))]),
        lambda statement: "requests" in statement and statement.startswith(("SELECT", "UPDATE", "WITH")),
    )


async def test_a_claim_reads_only_the_indexes_of_what_waits(flooded: Database) -> None:
    found = await flooded.write(_plans)
    lanes = next(plan for statement, plan in found.items() if statement.startswith("WITH"))
    # the first rows of each lane's tenants; how the next tenant is found PostgreSQL shows only where it is run
    assert lanes.count("requests_claimable") >= 3, found
    assert "requests_realtime" in lanes
    times = next(plan for statement, plan in found.items() if "deadline IS NOT NULL" in statement)
    assert ("requests_delayed" in times, "requests_deadline" in times) == (True, True), found
    assert not any("Seq Scan on requests" in plan or "SCAN requests" in plan for plan in found.values())


FULL = Queues((Pair(2, "t"), Waiting(-1.0, -100 - i, 100, 0.0)) for i in range(1, 11))
"""As many rows of the flood as the process can hold."""


async def test_a_quiet_tenant_and_a_realtime_row_are_claimed_past_a_full_shelf_and_a_flood(flooded: Database) -> None:
    served = Order(spent=({}, {}, {"t": 1_000}), seen=[frozenset(), frozenset(), frozenset("t")])
    want = Want(POOL, 5, FULL.counts(), held=FULL, order=served)
    found = await flooded.write(lambda conn: claim(conn, ROUTES, "w", [want]))
    assert (found.rows, found.more) == ((), {POOL})
    await flooded.write(lambda conn: _bring(conn, asked("quiet", tenant="u", lane=2), asked("urgent", lane=0)))
    asking: list[str] = []
    found = await flooded.write(lambda conn: _listening(conn, want, asking))
    assert [row.id for row in found.rows] == ["urgent", "quiet"]
    assert len([x for x in asking if "requests" in x]) == 3  # the state, the choice, the lease


def _bring(conn: Connection, *asks: Ask) -> None:
    for ask in asks:
        accept(conn, ROUTES, [arrived(ask)])


def _listening(conn: Connection, want: Want, asking: list[str]) -> Claims:
    def hear(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asking.append(statement)

    event.listen(conn, "before_cursor_execute", hear)
    try:
        return claim(conn, ROUTES, "w", [want])
    finally:
        event.remove(conn, "before_cursor_execute", hear)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await opened(database_url, "w", "v")
    yield found
    await found.aclose()


async def _claims(database: Database, want: Want, worker: str = "w") -> Claims:
    return await database.write(lambda conn: claim(conn, ROUTES, worker, [want]))


async def test_inside_a_tenant_what_is_due_first_goes_first_and_no_deadline_is_the_end_of_a_patience(
    database: Database,
) -> None:
    now = time.time()
    asks = [
        asked("tomorrow", deadline=now + 86_400, patience_s=500.0),  # to state a late deadline costs nothing
        asked("patient", patience_s=600.0),
        asked("urgent", deadline=now + 100),
        asked("patient too", patience_s=600.0),
        asked("less patient", patience_s=300.0),
    ]
    await database.write(lambda conn: _bring(conn, *asks))
    found = await _claims(database, Want(POOL, 5, (0, 0, 0)))
    assert [row.id for row in found.rows] == ["urgent", "less patient", "tomorrow", "patient", "patient too"]


async def test_tenants_take_turns_by_the_weight_of_their_rows(database: Database) -> None:
    asks = [asked(f"big{i}", tenant="big", weight=300) for i in range(9)]
    asks += [asked(f"small{i}", tenant="small", weight=100) for i in range(9)]
    await database.write(lambda conn: _bring(conn, *asks))
    found = await _claims(database, Want(POOL, 5, (0, 0, 0)))
    # 300, 300, then whoever has less: three small ones for each big one
    ids = "big0 small0 small1 small2 big1 small3 small4 small5 big2 small6"
    assert " ".join(row.id for row in found.rows) == ids


async def test_a_claim_says_when_it_cannot_see_whose_turn_it_is(database: Database) -> None:
    """Each tenant's share of the room, and two, are looked at; of the one whose rows are small there are more."""
    asks = [asked(f"big{i}", tenant="big", weight=100) for i in range(9)]
    asks += [asked(f"small{i}", tenant="small", weight=1) for i in range(9)]
    await database.write(lambda conn: _bring(conn, *asks))
    found = await _claims(database, Want(POOL, 5, (0, 0, 0)))
    assert " ".join(row.id for row in found.rows) == "big0 " + " ".join(f"small{i}" for i in range(7))
    assert found.seen[POOL].again


async def test_reserved_slots_are_lent_to_batch_until_a_realtime_row_comes(database: Database) -> None:
    """Two of ten; the slots of the first worker stay with it."""
    await database.write(lambda conn: ensure_slots(conn, [(POOL, "n", 10)]))
    batch = [asked(f"b{i}", lane=2) for i in range(200)]
    await database.write(lambda conn: _bring(conn, *batch))
    found = await _claims(database, Want(POOL, 10, (0, 0, 0)))
    assert (len(found.slots), found.seen[POOL].lent) == (10, True)
    await database.write(lambda conn: step.free_slots(conn, "w", found.slots))
    await database.write(lambda conn: _bring(conn, asked("urgent", lane=0)))
    urgent = await _claims(database, Want(POOL, 10, (0, 0, 0)), "v")
    assert urgent.rows[0].id == "urgent"
    assert [slot.reserved for slot in urgent.slots].count(True) == 1  # its own; batch has the eight others
    assert (len(urgent.slots), urgent.seen[POOL].lent) == (9, False)
    await database.write(lambda conn: step.free_slots(conn, "v", urgent.slots))
    again = await _claims(database, Want(POOL, 10, (0, 0, 0)))
    assert (len(again.slots), again.seen[POOL].lent) == (8, False)  # it runs elsewhere, and it came lately
    await database.write(lambda conn: step.free_slots(conn, "w", again.slots))
    later = await _claims(database, Want(POOL, 10, (0, 0, 0), order=Order(Rules(lend_after_s=0.0))))
    assert (len(later.slots), later.seen[POOL].lent) == (10, True)


async def test_a_process_without_slots_leases_nothing_that_would_wait_for_those_of_others(database: Database) -> None:
    await database.write(lambda conn: _bring(conn, *(asked(f"b{i}", lane=2) for i in range(20))))
    await _claims(database, Want(POOL, 0, (0, 0, 0)))  # five rows and all slots
    await database.write(lambda conn: _bring(conn, asked("urgent", lane=0)))
    other = await _claims(database, Want(POOL, 0, (0, 0, 0)), "v")
    assert (other.rows, other.slots, other.more) == ((), (), {POOL})
    mine = await _claims(database, Want(POOL, 5, (0, 0, 0)))
    assert mine.rows[0].id == "urgent"


async def test_a_batch_row_is_never_leased_for_a_slot_that_is_kept_from_it(database: Database) -> None:
    """It would wait for a slot of a process that has none, however many of the others' come and go."""
    await database.write(
        lambda conn: _bring(conn, asked("urgent", lane=0), *(asked(f"b{i}", lane=2) for i in range(9)))
    )
    await _claims(database, Want(POOL, 0, (0, 0, 0)))  # all five slots
    await database.write(lambda conn: step.free_slots(conn, "w", [Slot(*POOL, "n", 0, True)]))
    other = await _claims(database, Want(POOL, 0, (0, 0, 0)), "v")
    assert (other.rows, other.slots, other.more) == ((), (), {POOL})


async def test_of_very_many_tenants_each_comes_to_its_turn(database: Database) -> None:
    names = [f"t{i:03}" for i in range(TENANTS * 2 + 5)]
    await database.write(lambda conn: _bring(conn, *(asked(name, tenant=name) for name in names)))
    after, met = ("", "", ""), []
    for _ in range(3):
        found = await _claims(database, Want(POOL, TENANTS, (0, 0, 0), after=after))
        met += [row.tenant for row in found.rows]
        after = found.seen[POOL].after
    assert (sorted(met), after) == (names, ("", "", ""))


async def test_two_workers_that_claim_at_once_get_different_rows(postgres_database: str) -> None:
    database = await opened(postgres_database, "w", "v")
    await database.write(lambda conn: _bring(conn, *(asked(f"r{i}") for i in range(30))))
    claimed: dict[str, list[int]] = {}

    async def work(worker: str, begun: asyncio.Event, go: asyncio.Event) -> None:
        assert database.asynchronous is not None
        async with database.asynchronous.begin() as conn:
            found = await conn.run_sync(lambda inner: claim(inner, ROUTES, worker, [Want(POOL, 5, (0, 0, 0))]))
            claimed[worker] = [row.pk for row in found.rows]
            begun.set()
            await go.wait()

    first, second, go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(work("w", first, go))
    await first.wait()
    other = asyncio.create_task(work("v", second, go))
    await asyncio.wait_for(second.wait(), 10)  # it does not wait for the first one's rows
    go.set()
    await asyncio.gather(running, other)
    assert (len(claimed["w"]), len(claimed["v"])) == (
        10,
        5,
    )  # the first one has all slots; the second claims ahead only
    assert not set(claimed["w"]) & set(claimed["v"])
    await database.aclose()


async def test_names_that_are_too_long_for_an_index_are_refused_and_stop_nobody(postgres_database: str) -> None:
    """512 signs each are allowed, and four bytes of each that nothing packs: more than PostgreSQL takes in one entry."""
    chance = random.Random(7)
    tenant, model = ("".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(512)) for _ in range(2))
    database = await opened(postgres_database, "w")
    writer = Writer(database, ROUTES, "w")
    writer.start()
    long, well = await asyncio.gather(
        writer.accept([arrived(asked("a", tenant=tenant, model=model))]), writer.accept([arrived(asked("b"))])
    )
    assert ([x.decision for x in long], [x.decision for x in well]) == (["invalid"], ["accepted"])
    assert b"cannot keep this request" in (long[0].body or b"")
    await writer.aclose()
    await database.aclose()


@pytest.mark.parametrize("ready", [0, 40])
async def test_a_big_pool_is_filled_by_one_claim(database_url: str, ready: int) -> None:
    """However few slots are looked at first: of 100, ninety serve the rows that wait and those that are held already."""
    database = await opened(database_url, "w", slots=100)
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(asked(f"a{i}"), i) for i in range(90 - ready)]))
    found = await database.write(lambda conn: claim(conn, ROUTES, "w", [Want(POOL, 5, (0, ready, 0))]))
    await database.aclose()
    assert (len(found.rows), len(found.slots)) == (90 - ready, 90)
