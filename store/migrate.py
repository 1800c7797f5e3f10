"""Bringing the schema up to date, by Alembic, behind a lock that waits only shortly."""

import asyncio
import time
import uuid
from contextlib import AbstractContextManager
from typing import Any

from alembic import command
from alembic.config import Config
from filelock import FileLock, Timeout
from sqlalchemy import Connection, insert, select, text

from store import killpoint
from store.database import Database
from store.errors import Away
from store.schema import MIGRATIONS, is_current
from store.tables import ledgers

LOCK_TIMEOUT = "5s"
"""Short: a migration that waits for a lock makes everybody behind it wait too."""
FILE_LOCK_S = 60.0
_LOCK = 7_305_811
"""The advisory lock's number; any constant that nobody else uses."""


def config() -> Config:
    """Alembic's configuration without a file."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return made


def upgrade(conn: Connection) -> None:
    """Bring the schema to `head` inside the caller's transaction."""
    if conn.dialect.name != "sqlite":
        conn.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    made = config()
    made.attributes["connection"] = conn
    command.upgrade(made, "head")
    killpoint.passing("migrating")
    if conn.execute(select(ledgers.c.id)).first() is None:
        conn.execute(insert(ledgers), {"id": uuid.uuid4().hex, "made_at": time.time()})


async def migrate(database: Database) -> None:
    """Upgrade; on SQLite one process at a time by a lock file, since whoever starts first does it."""
    if await is_current(database):
        return
    if not database.is_sqlite:
        await _upgrade_shared(database)
        return
    try:
        lock = await asyncio.to_thread(_locked, f"{database.url.database}.migrate")
    except Timeout as error:
        raise Away(
            f"another process has been migrating {database.url.database} for {FILE_LOCK_S:.0f} s; is it hanging?"
        ) from error
    with lock:
        await database.write(upgrade)


async def _upgrade_shared(database: Database) -> None:
    try:
        await database.write(upgrade)
    except Away as error:
        if "lock timeout" not in str(error):
            raise
        raise Away(
            f"somebody else migrates this database, or holds one of its tables (waited {LOCK_TIMEOUT}): run `genai-spine migrate` again"
        ) from error


def _locked(path: str) -> AbstractContextManager[Any]:
    return FileLock(path, timeout=FILE_LOCK_S, thread_local=False).acquire()
