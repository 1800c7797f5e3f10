"""Ledgers that are migrated already: made in earnest once for all workers, then copied, which takes a tenth of the CPU.

What migrations do, and what a process does that finds none, is tested where that is the claim (`tests/store/test_migrate.py`, the
processes of `tests/system`).
"""

import asyncio
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from store import migrate as earnest
from store.database import Database, parse_url
from tests.parts import postgres, shared


async def migrate(database: Database) -> None:
    """As `store.migrate.migrate`, and quicker where nothing is there yet."""
    if database.is_sqlite:
        await asyncio.to_thread(place, database.url.database or "")
    await earnest.migrate(database)


def place(path: str | Path) -> None:
    """An empty ledger at `path`, with an id of its own; one that is there already is left alone."""
    if Path(path).exists():
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shared.address("ledger", _made), path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("PRAGMA synchronous = OFF")
        raw.execute("UPDATE ledgers SET id = ?", [uuid.uuid4().hex])


def _made() -> str:
    path = shared.folder() / "ledger.db"
    _migrated(f"sqlite:///{path}")
    return str(path)


@pytest.fixture
def postgres_migrated(postgres_url: str) -> Iterator[str]:
    """The URL of a fresh, empty, migrated database on PostgreSQL."""
    pattern = shared.address("postgres-ledger", lambda: _pattern(postgres_url))
    with postgres.database(postgres_url, pattern) as url:
        postgres.execute(url, f"UPDATE ledgers SET id = '{uuid.uuid4().hex}'")
        yield url


def _pattern(server: str) -> str:
    name = f"pattern_{uuid.uuid4().hex[:12]}"
    postgres.execute(server, f'CREATE DATABASE "{name}"')
    _migrated(make_url(server).set(database=name).render_as_string(hide_password=False))
    return name


def _migrated(url: str) -> None:
    async def run() -> None:
        database = Database(parse_url(url))
        await earnest.migrate(database)
        await database.aclose()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result(timeout=60)
