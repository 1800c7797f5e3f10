"""Addresses as people write them, and a driver's errors in the store's words."""

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from store.database import Database, now, parse_url
from store.errors import Away, BadData, BadUrl, Full, Met, TooLong
from store.tables import workers
from tests.store.ground import opened


@pytest.mark.fast
@pytest.mark.parametrize(
    ("url", "driver", "database"),
    [
        ("sqlite:///data/genai.db", "sqlite", "data/genai.db"),
        ("sqlite:////var/lib/genai.db", "sqlite", "/var/lib/genai.db"),
        ("sqlite+pysqlite:///x.db", "sqlite", "x.db"),  # a driver is named: ours is taken
        ("sqlite+aiosqlite:///x.db", "sqlite", "x.db"),
        ("sqlite:///~/genai.db", "sqlite", str(Path.home() / "genai.db")),
        ("postgresql://u:p@h/d", "postgresql+asyncpg", "d"),
        ("postgres://u:p@h:5432/d", "postgresql+asyncpg", "d"),  # Heroku's spelling
        ("postgresql+psycopg2://u:p@h/d", "postgresql+asyncpg", "d"),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql+asyncpg", "d"),  # a Unix socket's folder
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg", "d"),
    ],
)
def test_an_address_as_people_write_it(url: str, driver: str, database: str) -> None:
    parsed = parse_url(url)
    assert (parsed.drivername, parsed.database) == (driver, database)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no address of a database"),
        ("genai.db", "no address of a database"),
        ("/var/lib/genai.db", "no address of a database"),
        ("mysql://u:p@h/d", "names 'mysql'"),
        ("redis://localhost", "names 'redis'"),
        # each connection would have a ledger of its own, and the process would take it along
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///x.db?mode=ro", "names no file"),
        # the driver would end in a TypeError at the first connection
        ("postgresql://u@h/d?connect_timeout=5", "has connect_timeout behind its '?'"),
    ],
)
def test_what_is_no_address_says_so(url: str, words: str) -> None:
    with pytest.raises(BadUrl, match=words.replace("?", r"\?")):
        parse_url(url)


@pytest.mark.fast
def test_a_folder_that_cannot_be_made_says_so() -> None:
    with pytest.raises(BadUrl, match="cannot be made"):
        Database(parse_url("sqlite:////proc/nobody/x.db"))


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"database": "nobody_made_this"}, "does not exist"),
        ({"username": "nobody"}, "nobody"),
    ],
)
async def test_a_server_that_lets_us_not_in_is_away(postgres_database: str, change: dict[str, str], words: str) -> None:
    database = Database(parse_url(postgres_database).set(**change))
    with pytest.raises(Away, match=words):
        await database.read(lambda conn: conn.execute(text("SELECT 1")))
    await database.aclose()


async def test_a_server_that_is_not_there_is_away() -> None:
    database = Database(parse_url("postgresql://u@127.0.0.1:1/d"))
    with pytest.raises(Away):
        await database.read(lambda conn: conn.execute(text("SELECT 1")))
    await database.aclose()


def _join(**changes: Any) -> Any:
    row = {"id": "a", "host": "h", "pid": 1, "started_at": 0.0, "heartbeat_at": 0.0, **changes}
    return lambda conn: conn.execute(insert(workers), row)


def _twice(conn: Connection) -> None:
    _join()(conn)
    _join()(conn)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (_join(host="\ud800"), BadData),  # half of a surrogate pair
        (_join(pid=2**70), BadData),  # no database has such a number
        (_join(started_at="yesterday"), BadData),
        (_twice, Met),
        (_join(host=None), Met),  # like every refused row: looked at again, then found to be the value's fault
        (lambda conn: conn.execute(text("SELECT * FROM nobody")), Away),
        (lambda _: int("x"), BadData),
    ],
)
async def test_what_a_driver_says_in_our_words(database_url: str, work: Any, expected: type[Exception]) -> None:
    database = await opened(database_url)
    with pytest.raises(expected) as caught:
        await database.write(work)
    assert type(caught.value) is expected
    await database.write(_join(id="afterwards"))
    await database.aclose()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("53100", Full),  # disk_full
        ("40001", Met),  # serialization_failure
        ("40P01", Met),  # deadlock_detected: one of two gave way
        ("22021", BadData),  # character_not_in_repertoire: a NUL
        ("57P01", Away),  # admin_shutdown
        ("53300", Away),  # too_many_connections
        ("55P03", Away),  # lock_not_available
    ],
)
async def test_what_postgres_says_by_its_code(postgres_database: str, code: str, expected: type[Exception]) -> None:
    database = Database(parse_url(postgres_database))
    raising = text(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{code}'; END $$")
    with pytest.raises(expected, match="so it is") as caught:
        await database.write(lambda conn: conn.execute(raising))
    assert type(caught.value) is expected
    await database.aclose()


async def test_reports_keep_no_read_waiting(tmp_path: Path) -> None:
    database = await opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    ended = threading.Event()
    reports = [asyncio.create_task(database.report(lambda _: ended.wait(30))) for _ in range(8)]
    assert await asyncio.wait_for(database.read(lambda _: ended.is_set()), 10) is False
    ended.set()
    assert await asyncio.gather(*reports) == [True] * 8
    await database.aclose()


@pytest.mark.postgres
async def test_a_report_is_given_up_on_postgres(postgres_database: str) -> None:
    database = Database(parse_url(postgres_database))
    bound = text("SELECT current_setting('statement_timeout')")
    assert await database.report(lambda conn: conn.execute(bound).scalar_one()) == "30s"
    assert await database.read(lambda conn: conn.execute(bound).scalar_one()) == "0"  # the same connection, given back
    given_up = text("DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '57014'; END $$")
    with pytest.raises(TooLong, match="30 s"):
        await database.report(lambda conn: conn.execute(given_up))
    await database.aclose()


@pytest.mark.postgres
async def test_a_nul_is_bad_data_to_postgres(postgres_database: str) -> None:
    database = await opened(postgres_database)
    with pytest.raises(BadData):
        await database.write(_join(host="a\0b"))
    await database.aclose()


async def test_a_full_disk_is_told_as_such(sqlite_url: str) -> None:
    database = await opened(sqlite_url)

    def fill(conn: Connection) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        _join(host="x" * 1_000_000)(conn)

    with pytest.raises(Full):
        await database.write(fill)
    await database.aclose()


async def test_a_failed_transaction_leaves_nothing(database_url: str) -> None:
    database = await opened(database_url)

    def half(conn: Connection) -> None:
        _join()(conn)
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        await database.write(half)
    assert await database.read(lambda conn: conn.execute(workers.select()).all()) == []
    await database.aclose()


async def test_the_clock_is_near_ours(database_url: str) -> None:
    """Seconds since 1970 on both; PostgreSQL's own on PostgreSQL."""
    database = await opened(database_url)
    assert abs(await database.read(now) - time.time()) < 5
    await database.aclose()


_STOPS = """
import asyncio, os, signal, sys
from sqlalchemy import text
from store import database

database.IDLE_S = 0.5

def stop(conn):
    conn.execute(text("UPDATE kept SET n = 1"))
    os.kill(os.getpid(), signal.SIGSTOP)
    conn.execute(text("UPDATE kept SET n = 2"))

try:
    asyncio.run(database.Database(database.parse_url(sys.argv[1])).write(stop))
except database.Away:
    print("away")
"""


@pytest.mark.postgres
async def test_who_is_stopped_in_the_middle_of_a_transaction_keeps_its_rows_from_nobody(postgres_database: str) -> None:
    database = Database(parse_url(postgres_database))
    await database.write(lambda conn: conn.execute(text("CREATE TABLE kept AS SELECT 0 AS n")))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STOPS, postgres_database, stdout=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.to_thread(os.waitpid, child.pid, os.WUNTRACED)
        await database.write(lambda conn: conn.execute(text("UPDATE kept SET n = n + 10")))
    finally:
        child.send_signal(signal.SIGCONT)
    assert (await child.communicate())[0] == b"away\n"
    assert await database.read(lambda conn: conn.execute(text("SELECT n FROM kept")).scalar_one()) == 10
    await database.aclose()
