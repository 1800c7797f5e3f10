"""What is old goes; who it was, how it ended and what it cost stay, and nothing that waits is touched."""

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, func, insert, select, text, update

from agents.engine.pruner import Pruner, prune
from store import tables
from store.database import Database, now
from store.ledger import accept, books, export, progress, queries, room
from store.ledger.claim import claim
from store.ledger.room import DAY_S, Keep
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Accepted
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.steps import Step
from tests.store import flood
from tests.store.ground import POOL, ROUTES, TOPIC, answered, arrived, asked, call, ending, opened
from tests.store.plans import plans

BODIES, JOURNAL, POSITIONS = Keep(bodies=10), Keep(journal=10), Keep(positions=10)


def _claimed(conn: Connection) -> list[Claimed]:
    return list(claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))]).rows)


def _answered(conn: Connection, *ids: str) -> None:
    """Accepted, called and answered, each at a position of its own."""
    offset = conn.execute(select(func.coalesce(func.max(tables.positions.c.offset) + 1, 0))).scalar_one()
    accept.accept(conn, ROUTES, [arrived(asked(id_), offset + n) for n, id_ in enumerate(ids)])
    for row in _claimed(conn):
        take_steps(conn, ROUTES, "w", [Step(row, opens=call(row))])
        take_steps(conn, ROUTES, "w", [Step(row, (answered(call(row)),), then=ending())])


def _aged(conn: Connection, days: float, *ids: str) -> None:
    """As if it had all been so many days ago."""
    shift = days * DAY_S
    pks = select(tables.requests.c.pk).where(tables.requests.c.id.in_(ids))
    for table, key, name in (
        (tables.requests, tables.requests.c.pk, "completed_at"),
        (tables.results, tables.results.c.request_pk, "completed_at"),
        (tables.executions, tables.executions.c.request_pk, "closed_at"),
    ):
        conn.execute(update(table).where(key.in_(pks)).values({name: table.c[name] - shift}))
    at = (now(conn) - shift) * 1000
    conn.execute(update(tables.positions).where(tables.positions.c.request_pk.in_(pks)).values(timestamp=at))


def _left(conn: Connection) -> dict[str, list[Any]]:
    """Per table the ids of the requests that it knows."""
    r = tables.requests.c
    return {
        table.name: sorted(conn.execute(select(r.id).join_from(tables.requests, table, key == r.pk)).scalars())
        for table, key in (
            (tables.bodies, tables.bodies.c.request_pk),
            (tables.results, tables.results.c.request_pk),
            (tables.executions, tables.executions.c.request_pk),
            (tables.positions, tables.positions.c.request_pk),
        )
    }


async def _two(database_url: str) -> Database:
    """`old` was answered twenty days ago, `new` now, `waits` waits since then."""
    database = await opened(database_url, "w")
    await database.write(lambda conn: _answered(conn, "old", "new"))
    await database.write(lambda conn: accept.accept(conn, ROUTES, [arrived(asked("waits"), 9)]))
    await database.write(lambda conn: _aged(conn, 0, "new"))
    await database.write(lambda conn: _aged(conn, 20, "old", "waits"))
    return database


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Keep(), {}),
        (BODIES, {"bodies", "results"}),
        (JOURNAL, {"executions"}),
        (POSITIONS, {"positions"}),
        (Keep(10, 10, 10), {"bodies", "results", "executions", "positions"}),
        (Keep(30, 30, 30), set()),
    ],
)
async def test_only_what_is_old_and_has_ended_goes(database_url: str, keep: Keep, gone: set[str]) -> None:
    database = await _two(database_url)
    before = await database.read(_left)
    await prune(database, keep, rest=0)
    after = await database.read(_left)
    assert after == {name: [each for each in ids if name not in gone or each != "old"] for name, ids in before.items()}
    await database.aclose()


async def test_a_pruned_answer_is_never_called_for_again_and_says_so(database_url: str) -> None:
    database = await _two(database_url)
    await prune(database, BODIES, rest=0)

    def again(conn: Connection) -> list[Accepted]:
        progress.save(conn, TOPIC, 0, progress.Progress(0, -1, 0, 10))  # an operator moved the offsets back
        return accept.accept(conn, ROUTES, [arrived(asked("old"), 0), arrived(asked("old"), 11)])

    decided = await database.write(again)
    types = [orjson.loads(found.body or b"{}")["error"]["type"] for found in decided]
    assert (types, [found.generation for found in decided]) == (["recorded_answer_expired"] * 2, [0, 0])
    assert [row.id for row in await database.write(_claimed)] == ["waits"]
    await database.aclose()


async def test_a_failed_request_runs_again_when_its_text_comes_again(database_url: str) -> None:
    database = await _two(database_url)
    await database.write(
        lambda conn: conn.execute(update(tables.requests).values(state="failed").where(tables.requests.c.id == "old"))
    )
    await prune(database, BODIES, rest=0)
    decided = await database.write(lambda conn: accept.accept(conn, ROUTES, [arrived(asked("old"), 11)]))
    claimed = await database.write(_claimed)
    assert ([found.decision for found in decided], sorted(row.id for row in claimed)) == (["again"], ["old", "waits"])
    assert {bytes(row.value) for row in claimed} == {b'{"input": {}}'}
    await database.aclose()


async def test_what_the_days_cost_stays_and_costs_by_operation_say_from_when_they_are_whole(database_url: str) -> None:
    database = await _two(database_url)
    before = await database.read(lambda conn: [tuple(row) for row in queries.days(conn, "0", "9")])
    await prune(database, JOURNAL, rest=0)
    assert await database.read(lambda conn: [tuple(row) for row in queries.days(conn, "0", "9")]) == before
    marks = await database.read(room.marks)
    assert (list(marks), marks["journal"] % DAY_S) == (["journal"], 0)  # whole days
    assert books.reads_journal(["operation"]) and not books.reads_journal(["day", "tenant"])
    await database.aclose()


async def test_nothing_is_marked_while_nothing_goes(database_url: str) -> None:
    database = await _two(database_url)
    assert await prune(database, Keep(30, 30, 30), rest=0) == {"bodies": 0, "journal": 0, "positions": 0}
    assert await database.read(room.marks) == {}
    await database.aclose()


async def test_what_would_go_is_what_goes(database_url: str) -> None:
    database = await _two(database_url)
    await database.write(lambda conn: _answered(conn, "older"))
    await database.write(lambda conn: _aged(conn, 30, "older"))
    would = await database.read(lambda conn: room.would_drop(conn, Keep(10, 10)))
    assert (would, await prune(database, Keep(10, 10), rest=0)) == ({"bodies": 2, "journal": 2}, would)
    await database.aclose()


async def test_the_pruner_prunes_by_itself_and_ends_when_it_is_told(database_url: str) -> None:
    database = await _two(database_url)
    pruner = Pruner(database, BODIES, every_s=0.01)
    pruner.start()
    async with asyncio.timeout(20):
        while not await database.read(room.marks):
            await asyncio.sleep(0.01)
    await pruner.aclose()
    await database.aclose()


def _many(conn: Connection) -> None:
    flood.requests(conn, 100_000)
    flood.results(conn)
    conn.execute(
        insert(tables.bodies).from_select(
            ["request_pk", "value", "headers"],
            select(tables.results.c.request_pk, tables.results.c.body, tables.results.c.body),
        )
    )
    conn.execute(text("ANALYZE"))


async def test_a_batch_reads_no_more_of_a_large_ledger_than_it_takes(database_url: str) -> None:
    database = await opened(database_url)
    await database.write(_many)

    def work(conn: Connection) -> None:
        for kind in ("bodies", "journal"):
            room.drop(conn, kind, flood.FIRST + 1_000, 100)

    for plan in (await database.write(lambda conn: plans(conn, lambda: work(conn), _is_looked_at))).values():
        assert not any(f"{scan} {name}" in plan for scan in ("SCAN", "Seq Scan on") for name in _LARGE), plan
    await database.aclose()


_LARGE = ("requests", "results", "bodies")


def _is_looked_at(statement: str) -> bool:
    """Not the one that is run per row, by its primary key, which cannot be explained so."""
    return not statement.startswith("DELETE FROM results")


async def test_pages_of_an_export_are_every_request_once_oldest_first(database_url: str) -> None:
    database = await _two(database_url)
    await prune(database, BODIES, rest=0)

    def pages(conn: Connection) -> list[tuple[str, bool, int, int]]:
        found: list[export.Whole] = []
        while page := export.page(conn, _after(found), None, None, 2):
            found += page
        return [(each.request.id, each.body is not None, len(each.results), len(each.calls)) for each in found]

    assert await database.read(pages) == [("old", False, 0, 1), ("new", True, 1, 1), ("waits", True, 0, 0)]
    await database.aclose()


def _after(found: list[export.Whole]) -> tuple[float, int]:
    return (found[-1].request.accepted_at, found[-1].request.pk) if found else (0.0, -1)
