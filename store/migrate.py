"""Bringing the schema up to date, by Alembic, behind a lock that waits only shortly."""

import asyncio
import time
import uuid
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection, insert, select, text

from store.database import Database
from store.tables import ledgers

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_305_811
"""The advisory lock's number; any constant that nobody else uses."""


def config() -> Config:
    """Alembic's configuration without a file."""
    made = Config()
    made.set_main_option("script_location", str(_FOLDER))
    return made


def head() -> str:
    """The schema that this program speaks."""
    found = ScriptDirectory.from_config(config()).get_current_head()
    assert found is not None
    return found


def current(conn: Connection) -> str | None:
    """The schema that the database has; None: it is empty."""
    return MigrationContext.configure(conn).get_current_revision()


def upgrade(conn: Connection) -> None:
    """Bring the schema to `head` inside the caller's transaction."""
    if conn.dialect.name != "sqlite":
        conn.execute(text("SET LOCAL lock_timeout = '5s'"))
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    made = config()
    made.attributes["connection"] = conn
    command.upgrade(made, "head")
    if conn.execute(select(ledgers.c.id)).first() is None:
        conn.execute(insert(ledgers), {"id": uuid.uuid4().hex, "made_at": time.time()})


async def migrate(database: Database) -> None:
    """Upgrade; on SQLite one process at a time by a lock file, since whoever starts first does it."""
    if await database.read(current) == head():
        return
    if not database.is_sqlite or not database.url.database or database.url.database == ":memory:":
        await database.write(upgrade)
        return
    with await asyncio.to_thread(_locked, f"{database.url.database}.migrate"):
        await database.write(upgrade)


def _locked(path: str) -> FileLock:
    lock = FileLock(path, timeout=60, thread_local=False)
    lock.acquire()
    return lock


async def is_current(database: Database) -> bool:
    """Whether the database speaks our schema."""
    return await database.read(current) == head()
