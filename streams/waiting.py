"""A process's start: it waits for what is not there yet, and says for what."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from aiokafka.errors import KafkaError
from alembic.util.exc import CommandError
from sqlalchemy.engine import URL

from store import migrate
from store.database import Database, parse_url
from store.errors import StoreError
from streams import topics
from streams.errors import SpineError
from streams.security import NotLetIn
from streams.settings import Settings
from streams.topics_admin import Refused, Unreachable
from streams.where import ledger_url

log = structlog.get_logger(__name__)

RETRY_S = 0.5
Tell = Callable[[str], None]
"""Is told, each time again, what is waited for."""


class NoLedger(SpineError):
    """There is no ledger yet; it is made by `genai-spine up`, `worker` or `migrate`."""


def is_made(url: URL) -> bool:
    """Whether there is something to look into; opening a SQLite file that is missing would make it."""
    return url.drivername != "sqlite" or Path(url.database or "").exists()


@contextlib.asynccontextmanager
async def ledger(settings: Settings) -> AsyncIterator[Database]:
    """The ledger, to look into it. Raises SpineError when there is none yet."""
    url = parse_url(ledger_url(settings))
    none = NoLedger("There is no ledger yet; it is made by `genai-spine up`, `worker` or `migrate`.")
    if not is_made(url):
        raise none
    database = Database(url)
    try:
        if not await migrate.is_current(database):
            raise none
        yield database
    finally:
        await database.aclose()


async def for_topics(settings: Settings, bootstrap: str, tell: Tell) -> dict[str, int]:
    """Make the topics; how many partitions each has. Waits for the broker as long as it takes."""
    from agents import (
        OPERATIONS,
    )  # here, since commands that only look into the ledger start faster without the operations

    while True:
        try:
            await topics.create(bootstrap, settings, OPERATIONS)
            return {name: found.partitions for name, found in (await topics.list_topics(bootstrap)).items()}
        except Unreachable:
            tell(f"waiting for Kafka at {bootstrap}")
        except NotLetIn as error:
            tell(f"waiting for Kafka: {error}")
        except (Refused, KafkaError, OSError, TimeoutError) as error:
            tell(f"waiting for Kafka at {bootstrap}, which says: {error}")
        await asyncio.sleep(RETRY_S)


async def for_schema(settings: Settings, tell: Tell, *, may_migrate: bool) -> None:
    """Until the database is there and speaks our schema. On SQLite whoever starts first migrates."""
    database = Database(parse_url(ledger_url(settings)))
    where = database.url.render_as_string(hide_password=True)
    try:
        while True:
            try:
                if may_migrate or database.is_sqlite:
                    await migrate.migrate(database)
                if await migrate.is_current(database):
                    return
                tell(f"waiting for the migrations of {where}: start a worker, or run `genai-spine migrate`")
            except StoreError as error:
                tell(f"waiting for the database {where} ({error})")
            except CommandError as error:
                raise SpineError(
                    f"The database {where} has a schema that this program does not know ({error}). "
                    "It was made by a newer version: upgrade this one, or name another GENAI_DATABASE_URL."
                ) from error
            await asyncio.sleep(RETRY_S)
    finally:
        await database.aclose()
