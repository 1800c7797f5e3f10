"""Each database once: `database_url` runs a test on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgres_database(postgres_migrated: str) -> str:
    """Migrated already; an empty one is `postgres_empty`."""
    return postgres_migrated


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of one's own."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_database")
