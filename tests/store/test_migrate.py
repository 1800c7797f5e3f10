"""Whoever starts first migrates; everybody else waits for a moment, and says for what."""

import asyncio
import sys
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection, MetaData, Table, select, text

import store.migrate
from store.database import Database, parse_url
from store.errors import Away
from store.ledger import life
from store.ledger.claim import claim, ensure_slots
from store.ledger.step import take_steps
from store.ledger.types.claims import Want
from store.ledger.types.steps import Step
from store.migrate import config, migrate
from store.passages import tables as _passages  # noqa: F401
from store.registry import tables as _registry  # noqa: F401 - its tables are among the metadata
from store.runs import step_tables as _steps  # noqa: F401
from store.runs import tables as _runs  # noqa: F401
from store.schedules import tables as _schedules  # noqa: F401
from store.schema import head, is_current
from store.tables import ledgers, metadata, requests
from tests.store.ground import POOL, ROUTES, answered, call, ending

_MIGRATE = """
import asyncio, sys
from store.database import Database, parse_url
from store.migrate import migrate
asyncio.run(migrate(Database(parse_url(sys.argv[1]))))
"""


def _difference(conn: Connection) -> list[object]:
    """But for a table that there is only where PostgreSQL has pgvector."""
    ours = {"include_name": lambda name, type_, _: (type_, name) != ("table", "passage_vectors")}
    return compare_metadata(MigrationContext.configure(conn, opts=ours), metadata)


@pytest.fixture
def postgres_database(postgres_empty: str) -> str:
    """What is migrated here must be empty."""
    return postgres_empty


def _names(conn: Connection) -> list[str]:
    return list(conn.execute(select(ledgers.c.id)).scalars())


def _first_schema_with_a_row(conn: Connection) -> dict[str, Any]:
    """As a program of that schema left it, which knows nothing of the later columns."""
    made = store.migrate.config()
    made.attributes["connection"] = conn
    command.upgrade(made, "0001")
    old = Table("requests", MetaData(), autoload_with=conn)
    values = {str: "a", int: 1, bool: True, float: 1.0, bytes: b"a"}
    conn.execute(old.insert(), {column.name: values[requests.c[column.name].type.python_type] for column in old.c})
    return dict(conn.execute(select(old)).mappings().one())


async def test_the_migrated_schema_is_the_one_of_the_tables(database_url: str) -> None:
    database = Database(parse_url(database_url))
    await migrate(database)
    assert await database.read(_difference) == []
    await database.aclose()


async def test_a_row_of_the_first_schema_stays_as_it_is(database_url: str) -> None:
    database = Database(parse_url(database_url))
    before = await database.write(_first_schema_with_a_row)
    await migrate(database)
    after = await database.read(lambda conn: dict(conn.execute(select(requests)).mappings().one()))
    assert before.items() <= after.items()
    assert after["pinned"] is None
    await database.aclose()


async def test_a_program_of_the_schema_before_goes_on_beside_this_one(database_url: str) -> None:
    """Expand, then contract: what it writes is taken up, called and answered here; what is answered here, it reads."""
    database = Database(parse_url(database_url))
    old = await database.write(_schema_before)
    values = await database.write(lambda conn: _as_before(conn, old, "before"))
    await migrate(database)
    await database.write(lambda conn: life.register(conn, "w", "host", 1))
    await database.write(lambda conn: ensure_slots(conn, [(POOL, "n", 5)]))
    await database.write(
        lambda conn: conn.execute(old["requests"].insert(), {**values, "pk": 7, "identity": b"7", "id": "beside"})
    )
    await database.write(
        lambda conn: conn.execute(old["bodies"].insert(), {"request_pk": 7, "value": b"{}", "headers": b"[]"})
    )

    def work(conn: Connection) -> list[str]:
        claimed = claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))]).rows
        for row in claimed:
            take_steps(conn, ROUTES, "w", [Step(row, opens=call(row))])
            take_steps(conn, ROUTES, "w", [Step(row, (answered(call(row)),), then=ending())])
        return sorted(row.id for row in claimed)

    assert await database.write(work) == ["before", "beside"]
    told = select(old["requests"].c.id, old["requests"].c.state)
    rows = await database.read(lambda conn: sorted(map(tuple, conn.execute(told))))
    assert rows == [("before", "succeeded"), ("beside", "succeeded")]
    await database.aclose()


def _schema_before(conn: Connection) -> dict[str, Table]:
    """The one before the last migration, and its tables as a program of then knows them."""
    made = store.migrate.config()
    made.attributes["connection"] = conn
    command.upgrade(made, f"{head()}-1")
    known = MetaData()
    known.reflect(conn)
    return dict(known.tables)


def _as_before(conn: Connection, old: dict[str, Table], id_: str) -> dict[str, Any]:
    """A row that waits, in the columns of then."""
    values: dict[str, Any] = {column.name: 0 for column in old["requests"].c if not column.nullable}
    values |= {"pk": 1, "identity": b"1", "tenant": "t", "operation": "summarize", "id": id_, "state": "waiting"}
    values |= {
        "generation": 1,
        "lane": 1,
        "provider": POOL[0],
        "model": POOL[1],
        "paid": False,
        "on_ambiguous": "retry",
    }
    values |= {"cancel": False, "ordered": False, "payload_hash": b"h", "partition": 0}
    conn.execute(old["requests"].insert(), values)
    conn.execute(old["bodies"].insert(), {"request_pk": 1, "value": b"{}", "headers": b"[]"})
    return values


async def test_a_second_run_does_nothing(database_url: str) -> None:
    database = Database(parse_url(database_url))
    assert not await is_current(database)
    await migrate(database)
    first = await database.read(_names)
    await migrate(database)
    assert await is_current(database)
    assert (await database.read(_names), len(first)) == (first, 1)
    await database.aclose()


async def test_three_processes_migrate_at_once(database_url: str) -> None:
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MIGRATE, database_url, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    ends = [
        (child.returncode, errors.decode()) for child, (_, errors) in [(c, await c.communicate()) for c in children]
    ]
    assert [code for code, _ in ends] == [0, 0, 0], ends
    database = Database(parse_url(database_url))
    version = text("SELECT version_num FROM alembic_version")
    assert await database.read(lambda conn: list(conn.execute(version).scalars())) == [head()]
    assert len(await database.read(_names)) == 1
    await database.aclose()


@pytest.mark.postgres
@pytest.mark.parametrize(
    "hold", ["SELECT pg_advisory_xact_lock(7305811)", "LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"]
)
async def test_a_held_lock_is_waited_for_shortly_and_named(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch, hold: str
) -> None:
    monkeypatch.setattr(store.migrate, "LOCK_TIMEOUT", "200ms")
    holder = await asyncpg.connect(postgres_database)
    await holder.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(hold)
    database = Database(parse_url(postgres_database))
    with pytest.raises(Away, match="somebody else migrates this database, or holds one of its tables"):
        await asyncio.wait_for(store.migrate._upgrade_shared(database), 3)
    await transaction.rollback()
    await migrate(database)
    await database.aclose()
    await holder.close()


async def test_a_process_that_hangs_in_its_migration_is_named(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.migrate, "FILE_LOCK_S", 0.1)
    database = Database(parse_url(sqlite_url))
    with FileLock(f"{database.url.database}.migrate"), pytest.raises(Away, match="another process has been migrating"):
        await migrate(database)
    await migrate(database)
    assert await is_current(database)
    await database.aclose()


@pytest.mark.fast
def test_the_schema_that_we_speak_is_alembics_head() -> None:
    assert head() == ScriptDirectory.from_config(config()).get_current_head()
