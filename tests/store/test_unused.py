"""Pools that nobody uses go, those that somebody needs stay or come back. On both databases."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from store.database import Database
from store.ledger import limits, unused
from store.ledger.accept import accept
from store.ledger.claim import claim, ensure_slots, known_pools
from store.ledger.throttle import Heard
from store.ledger.types.claims import Pool, Want
from store.tables import pool_limits, pools, requests, slots
from tests.store.ground import POOL, ROUTES, arrived, asked, opened

GHOST = ("fake", "ghost")
_WANT = Want(POOL, 5, (0, 0, 0))


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Database]:
    """Two pools of five slots that were used long ago."""
    database = await opened(database_url, "w", "v")
    await database.write(lambda conn: ensure_slots(conn, [(GHOST, "n", 5)]))
    await database.write(_time_passes)
    yield database
    await database.aclose()


def _time_passes(conn: Connection) -> None:
    conn.execute(update(pools).values(used_at=pools.c.used_at - unused.IDLE_S - 1))


def _sweep(conn: Connection) -> int:
    return unused.drop(conn, unused.find(conn) - unused.parked(conn))


def _count(conn: Connection) -> list[int]:
    return [conn.execute(select(func.count()).select_from(table)).scalar_one() for table in (pools, slots, pool_limits)]


def _taken_in(conn: Connection, **changes: Any) -> None:
    accept(conn, ROUTES, [arrived(asked("a"))])
    if changes:
        conn.execute(update(requests).values(**changes))


async def test_what_nobody_uses_goes_with_its_slots_and_limits(ledger: Database) -> None:
    refused = Heard(*GHOST, "n", cuts=True, pause_s=1.0)
    await ledger.write(lambda conn: limits.learn(conn, [refused], []))
    assert await ledger.write(_count) == [2, 10, 1]
    assert (await ledger.write(_sweep), await ledger.write(_count)) == (2, [0, 0, 0])


async def test_what_was_used_lately_stays(ledger: Database) -> None:
    assert await ledger.write(lambda conn: unused.touch(conn, {POOL: True, ("fake", "never"): False})) == {POOL}
    assert (await ledger.write(_sweep), await ledger.read(known_pools)) == (1, [POOL])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"not_before": 9e9},
        {"state": "held"},
        {"state": "leased", "owner": "w"},
        {"state": "calling", "owner": "a batch"},
        {"behind": 1, "order_key": b"k"},
        {"behind": 2, "follows": 1},
    ],
    ids=str,
)
async def test_what_has_a_row_that_has_not_ended_stays(ledger: Database, changes: dict[str, Any]) -> None:
    await ledger.write(lambda conn: _taken_in(conn, **changes))
    assert (await ledger.write(_sweep), await ledger.read(known_pools)) == (1, [POOL])


async def test_what_has_a_slot_in_use_stays(ledger: Database) -> None:
    await ledger.write(lambda conn: conn.execute(update(slots).where(slots.c.number == 3).values(owner="w")))
    assert (await ledger.write(_sweep), await ledger.write(_count)) == (0, [2, 10, 0])


async def test_to_see_a_pool_is_not_to_use_it(ledger: Database) -> None:
    await ledger.write(lambda conn: ensure_slots(conn, [(GHOST, "n", 3)], used=False))
    assert (await ledger.write(_sweep), await ledger.write(_count)) == (2, [0, 0, 0])


async def test_what_is_gone_does_not_come_back_for_somebody_who_saw_it(ledger: Database) -> None:
    await ledger.write(_sweep)
    await ledger.write(lambda conn: ensure_slots(conn, [(GHOST, "n", 3)], used=False))
    assert await ledger.write(_count) == [0, 0, 0]


async def test_slots_that_another_program_made_are_kept_for_a_while(ledger: Database) -> None:
    await ledger.write(lambda conn: conn.execute(pools.delete()))
    await ledger.write(lambda conn: ensure_slots(conn, [(GHOST, "n", 5)], used=False))
    assert (await ledger.write(_sweep), await ledger.write(_count)) == (0, [1, 10, 0])


async def test_it_comes_back_and_its_rows_are_claimed(ledger: Database) -> None:
    await ledger.write(_sweep)
    await ledger.write(lambda conn: ensure_slots(conn, [(POOL, "n", 5)]))
    await ledger.write(_taken_in)
    assert await ledger.write(_sweep) == 0
    found = await ledger.write(lambda conn: claim(conn, ROUTES, "w", [_WANT]))
    assert (len(found.rows), len(found.slots)) == (1, 1)


async def test_rows_without_slots_are_seen(ledger: Database) -> None:
    """Of a program that knows nothing of this; among pools that have slots, on each side of them."""
    await ledger.write(lambda conn: unused.touch(conn, {POOL: False}))
    await ledger.write(_sweep)
    wanted: list[Pool] = [("a", "x"), ("fake", "a"), POOL, ("fake", "z"), ("z", "a")]
    rows = [arrived(asked(f"{i}-{n}", provider=p, model=m)) for i, (p, m) in enumerate(wanted) for n in range(3)]
    await ledger.write(lambda conn: accept(conn, ROUTES, rows))
    found = await ledger.read(lambda conn: unused.bare(conn, ["fake", "a", "none"]))
    assert found == [("a", "x"), ("fake", "a"), ("fake", "z")]


async def test_nobody_is_left_without_slots_by_two_processes(ledger: Database) -> None:
    """One lets go of all that is unused while another makes or uses it, again and again."""

    async def use() -> None:
        for n in range(20):
            if not await ledger.write(lambda conn: unused.touch(conn, {POOL: False})):
                await ledger.write(lambda conn: ensure_slots(conn, [(POOL, "n", 5)]))
            await ledger.write(lambda conn, n=n: accept(conn, ROUTES, [arrived(asked(f"r{n}"))]))
            assert await ledger.read(lambda conn: unused.bare(conn, ["fake"])) == []
            await ledger.write(lambda conn: conn.execute(update(requests).values(state="succeeded")))
            await ledger.write(_time_passes)

    async def let_go() -> None:
        while not used.done():
            await ledger.write(_sweep)

    used = asyncio.create_task(use())
    await asyncio.gather(used, let_go())


@pytest.mark.postgres
async def test_what_somebody_speaks_of_is_left_alone(ledger: Database) -> None:
    if ledger.asynchronous is None:
        pytest.skip("it has one writer")
    async with ledger.asynchronous.begin() as other, asyncio.timeout(5):
        await other.execute(select(pools).where(pools.c.model == POOL[1]).with_for_update())
        assert await ledger.write(_sweep) == 1
    assert await ledger.read(known_pools) == [POOL]


@pytest.mark.postgres
@pytest.mark.parametrize(("owner", "dropped"), [(None, 2), ("w", 1)])
async def test_who_looks_for_a_slot_is_waited_for_and_keeps_it(
    ledger: Database, owner: str | None, dropped: int
) -> None:
    if ledger.asynchronous is None:
        pytest.skip("it has one writer")
    of_pool = slots.c.model == POOL[1]
    async with ledger.asynchronous.begin() as other:
        await other.execute(select(slots).where(of_pool).with_for_update())
        sweeping = asyncio.create_task(ledger.write(_sweep))
        await asyncio.sleep(0.05)
        await other.execute(update(slots).where(of_pool, slots.c.number == 2).values(owner=owner))
    assert await sweeping == dropped
