"""Runs in SQL, on both databases."""

import pytest
from sqlalchemy import Connection, func, insert, select, text, update

from store import files
from store.database import Database, parse_url
from store.ledger import room
from store.ledger.accept import accept
from store.ledger.types.arrivals import Arrival
from store.runs import deliveries, read, write
from store.runs.tables import deliveries as messages
from store.runs.tables import file_parts, run_parts, runs
from store.runs.tables import files as kept
from store.tables import requests, workers
from tests.parts.ledgers import migrate
from tests.store.ground import ROUTES, asked
from tests.store.plans import plans

NEW = write.New("t", "r", "workflow", "batch_summarize", "summarize", 2, b"{}", b"hash")


@pytest.fixture
async def database(database_url: str) -> Database:
    made = Database(parse_url(database_url))
    await migrate(made)
    return made


def _arrivals(run_id: str, first: int, count: int, id_of: str = "") -> list[Arrival]:
    return [
        Arrival(
            asked(f"{id_of or run_id}/{n}", tenant="t", operation="summarize", run_id=run_id), None, None, b"{}", b"[]"
        )
        for n in range(first, first + count)
    ]


def _filled(conn: Connection) -> None:
    for run in range(20):
        accept(conn, ROUTES, _arrivals(f"r{run}", 0, 100))


async def test_items_are_looked_up_by_indexes(database: Database) -> None:
    def work(conn: Connection) -> dict[str, str]:
        _filled(conn)
        conn.execute(text("ANALYZE"))
        ids = [f"r3/{n}" for n in range(40)]
        return plans(
            conn,
            lambda: (
                read.known(conn, "t", "summarize", ids),
                read.counts(conn, "r3", "t"),
                read.items(conn, "r3", "t", read.FIRST, 50),
                read.owned(conn, "w"),
                read.page(conn, "t", None, None, None, 50),
            ),
        )

    found = await database.write(work)
    scans = {asked: plan for asked, plan in found.items() if "SCAN requests" in plan or "Seq Scan on requests" in plan}
    assert scans == {}
    assert len(found) == 6
    await database.aclose()


async def test_items_come_in_the_order_of_the_input_and_others_are_none_of_them(database: Database) -> None:
    def work(conn: Connection) -> tuple[list[str], read.Counts, set[str]]:
        for first in range(0, 300, 60):
            accept(conn, ROUTES, _arrivals("r", first, 60))
            accept(conn, ROUTES, _arrivals("r", first, 5, id_of="mine"))  # they only say that they belong to it
        found = read.items(conn, "r", "t", read.FIRST, 1000)
        return (
            [row.id for row in found],
            read.counts(conn, "r", "t"),
            read.known(conn, "t", "summarize", ["r/299", "r/300"]),
        )

    ids, counts, known = await database.write(work)
    assert (ids, counts, known) == ([f"r/{n}" for n in range(300)], read.Counts(300, 0, 0), {"r/299"})
    await database.aclose()


async def test_who_adopts_takes_only_from_the_dead_and_breaks_off_what_was_being_uploaded(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        at = 1.0
        for id_ in ("alive", "me"):
            conn.execute(insert(workers).values(_worker(conn, id_, at)))
        made_of: list[tuple[str, str, list[write.Part] | None]] = [
            ("a", "alive", None),
            ("b", "dead", []),
            ("c", "dead", None),
            ("d", "me", None),
        ]
        for id_, owner, parts in made_of:
            made, _ = write.make(conn, write.New("t", id_, *_REST), owner, parts)
            if id_ == "b":
                assert made.sealed
        had = read.orphaned(conn)
        taken = write.adopt(conn, "me")
        rows = conn.execute(
            select(runs.c.id, runs.c.owner, runs.c.broken_off, runs.c.cancelled).order_by(runs.c.id)
        ).all()
        return [
            had,
            taken,
            read.orphaned(conn),
            write.add(conn, "t", "c", [write.Part(0, 1, b"x")]),
            [tuple(r) for r in rows],
        ]

    had, taken, left, added, rows = await database.write(work)
    assert (had, taken, left, added) == (True, [("t", "b"), ("t", "c")], False, False)
    assert rows == [
        ("a", "alive", False, False),
        ("b", "me", False, False),
        ("c", "me", True, True),
        ("d", "me", False, False),
    ]
    await database.aclose()


_REST = ("workflow", "batch_summarize", "summarize", 2, b"{}", b"hash")


def _worker(conn: Connection, id_: str, at: float) -> dict[str, object]:
    values: dict[type, object] = {str: "x", int: 0, float: at, bool: False, bytes: b""}
    return {c.name: values[c.type.python_type] for c in workers.c if not c.nullable} | {"id": id_}


async def test_the_same_run_is_made_once_and_a_part_is_fed_once(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        parts = [write.Part(0, 2, b"x"), write.Part(2, 1, b"y")]
        first, is_new = write.make(conn, NEW, "w", parts)
        again, is_new_again = write.make(conn, NEW, "w", parts)
        part = read.next_part(conn, "t", "r")
        assert part is not None
        write.fed(conn, "t", "r", part)
        write.fed(conn, "t", "r", part)
        left = conn.execute(select(run_parts.c.first)).scalars().all()
        row = read.one(conn, "t", "r")
        assert row is not None
        return [first.total, is_new, again.total, is_new_again, list(left), row.fed, row.sealed]

    assert await database.write(work) == [3, True, 3, False, [2], 2, True]
    with pytest.raises(write.Conflict, match="stands for another run"):
        await database.write(lambda conn: write.make(conn, write.New("t", "r", *_REST[:-1], b"other"), "w"))
    assert await database.read(lambda conn: conn.execute(select(requests.c.pk)).all()) == []
    await database.aclose()


async def test_what_is_old_of_runs_goes_and_what_goes_on_stays(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        for id_ in ("ended", "open"):
            row, _ = write.make(
                conn, write.New("t", id_, *_REST), "w", [write.Part(0, 1, b"x"), write.Part(1, 1, b"y")]
            )
            for _ in range(2):
                deliveries.put(conn, f"{id_}{len(_ids(conn))}", row, "https://x", "s", b"{}")
        for name in ("old", "new"):
            files.begin(conn, files.New("t", name, name, "batch"))
            files.add(conn, "t", name, 0, b"data")
            files.finish(conn, "t", name, 4, name, "batch")
        conn.execute(update(runs).where(runs.c.id == "ended").values(ended_at=5.0))
        conn.execute(update(kept).where(kept.c.id == "old").values(created_at=5.0))
        conn.execute(update(messages).where(messages.c.id.in_(["ended0", "ended1"])).values(created_at=5.0))
        deliveries.settle(conn, "ended0", "204", None, delivered=True)
        gone = []
        while count := room.drop(conn, "bodies", 100.0, 10):
            gone.append(count)
        left = conn.execute(select(run_parts.c.run_id, func.count()).group_by(run_parts.c.run_id)).all()
        parts = conn.execute(select(file_parts.c.file_id)).scalars().all()
        return [gone, [tuple(each) for each in left], list(parts), _ids(conn)]

    assert await database.write(work) == [[2, 1, 1], [("open", 2)], ["new"], ["ended1", "open2", "open3"]]
    await database.aclose()


def _ids(conn: Connection) -> list[str]:
    return list(conn.execute(select(messages.c.id).order_by(messages.c.id)).scalars())


async def test_a_try_belongs_to_one_process_and_is_due_again_if_it_dies(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        row, _ = write.make(conn, NEW, "w", [])
        deliveries.put(conn, "m", row, "https://x", "s", b"{}")
        (seen,) = deliveries.due(conn, 10)
        won = [deliveries.take(conn, seen, 60.0) for _ in range(2)]
        meanwhile = deliveries.due(conn, 10)
        conn.execute(update(messages).values(due_at=5.0))  # it died, and a minute has passed
        (again,) = deliveries.due(conn, 10)
        won.append(deliveries.take(conn, again, 60.0))
        deliveries.settle(conn, "m", "410 Gone", None)
        (told,) = deliveries.of_run(conn, "t", "r")
        return [won, list(meanwhile), told.tries, told.due_at, told.secret, told.said, deliveries.take(conn, told, 1.0)]

    assert await database.write(work) == [[True, False, True], [], 2, None, None, "410 Gone", False]
    await database.aclose()
