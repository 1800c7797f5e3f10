"""A marked statement finds what SQLAlchemy finds, by its own text and types."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, Executable, bindparam, delete, event, func, insert, select, text, tuple_, update

from store import quick, rows
from store.database import Database, parse_url
from store.errors import Away, BadData, Met
from store.tables import outbox, positions, slots
from tests.parts.ledgers import migrate

_S = slots.c
_P = positions.c
SLOT = {"provider": "p", "model": "m", "node": "n", "reserved": True, "owner": None}
INSERT, PUBLISH, FREE = insert(slots), insert(outbox), delete(slots).where(_S.number == bindparam("k"))
SELECT = select(slots).where(_S.number.in_(bindparam("numbers", expanding=True)), _S.reserved).order_by(_S.number)
TAKE = update(slots).where(_S.number == bindparam("k")).values(owner=bindparam("w")).returning(_S.number, _S.reserved)
PLACES = select(_P.decision).where(tuple_(_P.topic, _P.offset).in_(bindparam("places", expanding=True)))
WORDS = select(text("1 + :more AS two"), _S.number.label("own")).order_by(_S.number)
_LETTERS = select(func.count()).select_from(outbox)
MARKED = (INSERT, PUBLISH, FREE, SELECT, TAKE, PLACES, WORDS)
PLACE = {"topic": "t", "partition": 0, "timestamp": 1, "request_pk": None, "generation": None}
LETTER = {"topic": "t", "partition": 0, "number": None, "key": None, "value": b"\0\xff", "headers": b"[]"}


@pytest.fixture(autouse=True)
def marked() -> Any:
    quick.quick(*MARKED)
    yield
    for statement in MARKED:
        del quick._FORMS[id(statement)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(parse_url(database_url))
    await migrate(found)
    await found.write(lambda conn: conn.execute(INSERT, [{**SLOT, "number": i} for i in range(5)]))
    yield found
    await found.aclose()


def _both(conn: Connection, statement: Executable, values: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """As a marked statement, and as SQLAlchemy runs it."""
    short = [tuple(row) for row in conn.execute(statement, values)]
    long = [tuple(row) for row in super(quick.QuickConnection, conn).execute(statement, values)]  # type: ignore[misc]
    return short, long


async def test_it_finds_the_same(database: Database) -> None:
    for numbers in ([1], [1, 2, 3, 3], [], [4, 9]):
        short, long = await database.read(lambda conn, n=numbers: _both(conn, SELECT, {"numbers": n}))
        assert short == long
    short, long = await database.read(lambda conn: _both(conn, WORDS, {"more": 1}))
    assert short == long == [(2, i) for i in range(5)]


async def test_its_rows_have_names_and_types(database: Database) -> None:
    def work(conn: Connection) -> tuple[Any, ...]:
        found = conn.execute(SELECT, {"numbers": [1]})
        took = conn.execute(TAKE, {"k": 2, "w": "x"}).one()
        row = found.first()
        return row.reserved, row.owner, row.number, took.reserved, next(found.mappings())["node"]

    found = await database.write(work)
    assert found == (True, None, 1, True, "n")
    assert isinstance(found[0], bool)


async def test_pairs_may_be_asked_for(database: Database) -> None:
    made = [{**PLACE, "offset": i, "decision": f"d{i}"} for i in range(3)]
    await database.write(lambda conn: conn.execute(insert(positions), made))
    for places in ([("t", 1)], [("t", 0), ("t", 2)]):
        short, long = await database.read(lambda conn, p=places: _both(conn, PLACES, {"places": p}))
        assert sorted(short) == sorted(long) == [(f"d{offset}",) for _, offset in places]


async def test_bytes_come_back_and_rows_are_counted(database: Database) -> None:
    def work(conn: Connection) -> tuple[Any, ...]:
        conn.execute(PUBLISH, [LETTER, {**LETTER, "number": 7}])
        found = conn.execute(select(outbox.c.value, outbox.c.number).order_by(outbox.c.pk)).all()
        return [tuple(row) for row in found], conn.execute(FREE, {"k": 3}).rowcount

    assert await database.write(work) == ([(b"\0\xff", None), (b"\0\xff", 7)], 1)


async def test_what_the_database_refuses_is_told_in_the_same_words(database: Database) -> None:
    with pytest.raises(Met):
        await database.write(lambda conn: conn.execute(INSERT, [{**SLOT, "number": 1}]))
    with pytest.raises(BadData):
        await database.write(lambda conn: conn.execute(FREE, {"k": 2**70}))
    short, _ = await database.read(lambda conn: _both(conn, SELECT, {"numbers": [1]}))
    assert len(short) == 1


@pytest.mark.postgres
async def test_a_changed_table_is_a_short_disturbance(postgres_database: str) -> None:
    """The server has prepared a text for a table that a migration changes meanwhile."""
    database = Database(parse_url(postgres_database))
    await migrate(database)
    await database.write(lambda conn: conn.execute(INSERT, [{**SLOT, "number": 1}]))
    await database.read(lambda conn: conn.execute(SELECT, {"numbers": [1]}))
    other = Database(parse_url(postgres_database))
    await other.write(lambda conn: conn.execute(text("ALTER TABLE slots ALTER COLUMN number TYPE bigint")))
    found: list[Any] = []
    for _ in range(3):
        try:
            found = await database.read(lambda conn: conn.execute(SELECT, {"numbers": [1]}))
        except Away:  # the writer tries again
            await asyncio.sleep(0.05)
    assert len(found) == 1
    await other.aclose()
    await database.aclose()


@pytest.mark.postgres
async def test_changes_that_nobody_reads_go_together_and_before_who_reads_them(postgres_database: str) -> None:
    database = Database(parse_url(postgres_database))
    await migrate(database)
    sent: list[str] = []

    def work(conn: Connection) -> tuple[int, int]:
        event.listen(conn, "before_cursor_execute", lambda *told: sent.append(told[2][:6]))
        rows.many(conn, INSERT, [{**SLOT, "number": 1}])
        rows.many(conn, PUBLISH, [LETTER])
        found = conn.execute(SELECT, {"numbers": [1]}).all()
        rows.many(conn, INSERT, [{**SLOT, "number": 2}])
        rows.many(conn, INSERT, [{**SLOT, "number": 3}, {**SLOT, "number": 4, "node": "o"}])
        rows.many(conn, INSERT, [{**SLOT, "number": i} for i in range(5, 12)])
        return len(found), len(sent)

    assert await database.write(work) == (1, 5)
    wanted = select(func.count()).select_from(slots)
    counts = [await database.read(lambda conn, w=w: conn.execute(w).scalar_one()) for w in (wanted, _LETTERS)]
    assert (counts, sent) == ([11, 1], ["WITH w", "SELECT", "INSERT", "INSERT", "INSERT"])
    nodes = select(slots.c.node).where(slots.c.number.in_([3, 4])).order_by(slots.c.number)
    assert await database.read(lambda conn: conn.execute(nodes).scalars().all()) == ["n", "o"]
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda conn: [rows.many(conn, INSERT, [{**SLOT, "number": 99}]), 1 / 0])
    assert await database.write(lambda conn: conn.execute(wanted).scalar_one()) == 11
    await database.aclose()
