"""The ledger, opened for commands that look into it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.engine import URL

from store import schema
from store.database import Database, parse_url
from streams.errors import SpineError
from streams.settings import Settings
from streams.where import ledger_url


class NoLedger(SpineError):
    """There is no ledger yet; it is made by `genai-spine up`, `worker` or `migrate`."""


def is_made(url: URL) -> bool:
    """Whether there is something to look into; opening a SQLite file that is missing would make it."""
    return url.drivername != "sqlite" or Path(url.database or "").exists()


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The ledger, to look into it. Raises SpineError when there is none yet."""
    url = parse_url(ledger_url(settings))
    none = NoLedger("There is no ledger yet; it is made by `genai-spine up`, `worker` or `migrate`.")
    if not is_made(url):
        raise none
    database = Database(url)
    try:
        if not await schema.is_current(database):
            raise none
        yield database
    finally:
        await database.aclose()
