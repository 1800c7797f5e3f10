"""Which schema the database has and which one this program speaks; without Alembic, which takes long to import."""

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = text("SELECT version_num FROM alembic_version")


@cache
def head() -> str:
    """The schema that this program speaks: the last migration's number, which begins its file's name."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def current(conn: Connection) -> str | None:
    """The schema that the database has; None: it is empty."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    found: str | None = conn.execute(_VERSION).scalar()
    return found


async def is_current(database: Database) -> bool:
    """Whether the database speaks our schema."""
    return await database.read(current) == head()
