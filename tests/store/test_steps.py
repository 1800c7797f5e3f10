"""Steps of pipelines in SQL, on both databases."""

import pytest
from sqlalchemy import Connection, select, text, update

from store.database import Database, parse_url
from store.ledger import room
from store.ledger.accept import accept
from store.ledger.types.arrivals import Arrival
from store.migrate import migrate
from store.runs import read, steps, write
from store.runs.step_tables import run_outputs, run_plans
from store.runs.tables import runs
from tests.store.ground import ROUTES, asked, refusal
from tests.store.plans import plans

NEW = ("pipeline", "digest", "pipeline", 1, b"{}", b"hash")
STEPS = [("each", "summarize"), ("both", "join"), ("whole", "summarize")]


@pytest.fixture
async def database(database_url: str) -> Database:
    made = Database(parse_url(database_url))
    await migrate(made)
    return made


def _made(conn: Connection, id_: str = "r") -> None:
    write.make(conn, write.New("t", id_, *NEW), "w", [])
    steps.make(conn, "t", id_, {"inputs": {"a": 1}}, STEPS)


def _fed(conn: Connection, step: str, first: int, count: int, *, run: str = "r", bad: bool = False) -> None:
    failure = refusal() if bad else None
    whats = [asked(f"{run}/{step}/{n}", run_id=run, failure=failure) for n in range(first, first + count)]
    accept(conn, ROUTES, [Arrival(what, None, None, b"{}", b"[]") for what in whats])


async def test_a_run_is_made_with_its_plan_and_its_steps(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        _made(conn)
        found = steps.of_run(conn, "t", "r")
        row = read.one(conn, "t", "r")
        assert row is not None
        names = [(each.name, each.status, each.total) for each in found]
        return [steps.plan(conn, "t", "r"), steps.plan(conn, "t", "other"), names, row.total, row.sealed]

    waiting = [("each", "waiting", None), ("both", "waiting", None), ("whole", "waiting", None)]
    assert await database.write(work) == [{"inputs": {"a": 1}}, None, waiting, 3, True]
    await database.aclose()


async def test_requests_are_counted_by_step_and_looked_up_by_indexes(database: Database) -> None:
    def work(conn: Connection) -> tuple[dict[str, str], read.Counts, str, list[str]]:
        for run in range(10):
            _fed(conn, "each", 0, 100, run=f"r{run}")
            _fed(conn, "each_other", 0, 100, run=f"r{run}")
        _fed(conn, "each", 100, 2, run="r3", bad=True)
        conn.execute(text("ANALYZE"))
        ids = [f"r3/each/{n}" for n in range(40)]
        found = plans(
            conn,
            lambda: (
                steps.answers(conn, "t", "summarize", ids),
                steps.counts(conn, "t", "r3", "each"),
                steps.first_bad(conn, "t", "r3", "each"),
                steps.spent(conn, "t", "r3", "each"),
            ),
        )
        states = {state for state, _ in steps.answers(conn, "t", "summarize", [*ids, "r3/each/100", "nope"]).values()}
        bad = steps.first_bad(conn, "t", "r3", "each")
        return found, steps.counts(conn, "t", "r3", "each"), bad.id, sorted(states)

    found, counts, bad, states = await database.write(work)
    scans = {asked: plan for asked, plan in found.items() if "SCAN requests" in plan or "Seq Scan on requests" in plan}
    assert (scans, counts, bad, states) == ({}, read.Counts(100, 2, 0), "r3/each/100", ["failed", "waiting"])
    await database.aclose()


async def test_only_the_owner_changes_what_stands(database: Database) -> None:
    def work(conn: Connection) -> list[bool]:
        _made(conn)
        mine, foreign = [steps.is_owned(conn, "t", "r", worker) for worker in ("w", "other")]
        conn.execute(update(runs).values(ended_at=1.0))
        return [mine, foreign, steps.is_owned(conn, "t", "r", "w")]

    assert await database.write(work) == [True, False, False]
    await database.aclose()


async def test_what_items_gave_is_kept_once_and_read_by_number(database: Database) -> None:
    def work(conn: Connection) -> dict[int, object]:
        _made(conn)
        steps.put(conn, "t", "r", "both", 0, ["a", None])
        steps.put(conn, "t", "r", "both", 1, ["another", {"b": [1]}])
        return steps.outputs(conn, "t", "r", "both", 1, 5)

    assert await database.write(work) == {1: None, 2: {"b": [1]}}
    await database.aclose()


async def test_a_retry_goes_on_with_what_had_begun_and_begins_the_rest(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        _made(conn)
        told = {
            "each": {"status": "failed", "total": 5, "fed": 3, "failed": 1, "error": "no", "ended_at": 2.0},
            "both": {"status": "succeeded", "total": 1, "fed": 1, "ended_at": 2.0},
            "whole": {"status": "cancelled"},
        }
        for name, values in told.items():
            steps.change(conn, "t", "r", name, values)
        steps.put(conn, "t", "r", steps.RESULT, 0, [{"error": "no"}])
        names = steps.failed(conn, "t", "r")
        steps.again(conn, "t", "r")
        after = [(each.name, each.status, each.fed, each.error) for each in steps.of_run(conn, "t", "r")]
        row = read.one(conn, "t", "r")
        assert row is not None
        return [
            names,
            after,
            steps.outputs(conn, "t", "r", steps.RESULT, 0, 1),
            (row.succeeded, row.failed, row.stopped),
        ]

    assert await database.write(work) == [
        ["each", "whole"],
        [("each", "running", 3, None), ("both", "succeeded", 1, None), ("whole", "waiting", 0, None)],
        {},
        (1, 0, 0),
    ]
    await database.aclose()


async def test_what_is_old_goes_and_what_goes_on_stays(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        for id_ in ("ended", "open"):
            _made(conn, id_)
            steps.put(conn, "t", id_, "both", 0, [1, 2, 3])
        conn.execute(update(runs).where(runs.c.id == "ended").values(ended_at=5.0))
        gone = []
        while count := room.drop(conn, "bodies", 100.0, 2):
            gone.append(count)
        left = [list(conn.execute(select(table.c.run_id)).scalars()) for table in (run_outputs, run_plans)]
        return [gone, *left, len(steps.of_run(conn, "t", "ended"))]

    assert await database.write(work) == [[2, 1, 1], ["open"] * 3, ["open"], 3]
    await database.aclose()
