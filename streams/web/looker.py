"""One look into the ledger for everybody who wants to know what waits, and one question to Kafka, kept for a moment."""

import asyncio
import time
from typing import Any

from schemas.operations import NAMES
from store.database import Database
from store.ledger import backlog
from store.ledger.backlog import Backlog
from streams import lag, queueing, where
from streams.errors import SpineError
from streams.lag import Lag
from streams.rate import WINDOW_S
from streams.settings import Settings

FRESH_S = 1.0
LAG_FRESH_S = 5.0


class Looker:
    """Whoever comes while a look is under way waits for that one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: tuple[float, Backlog] | None = None
        self._looking = asyncio.Lock()
        self._lag: tuple[float, Lag] | None = None
        self._asking = asyncio.Lock()

    async def backlog(self, database: Database) -> Backlog:
        """At most `FRESH_S` old. Raises `StoreError`."""
        async with self._looking:
            if self._known is None or time.monotonic() - self._known[0] > FRESH_S:
                at = time.monotonic()
                self._known = at, await database.read(lambda conn: backlog.look(conn, WINDOW_S))
            return self._known[1]

    async def lag(self) -> Lag:
        """At most `LAG_FRESH_S` old; says why where it is not known."""
        async with self._asking:
            if self._lag is None or time.monotonic() - self._lag[0] > LAG_FRESH_S:
                found = await ask(self._settings)
                self._lag = (
                    time.monotonic(),
                    found,
                )  # from its end: a broker that does not answer is not waited for again
            return self._lag[1]

    async def place(self, database: Database, row: Any) -> dict[str, Any]:
        """Where an unfinished request stands. Raises `StoreError`."""
        found = await self.backlog(database)
        if row.state == "calling":
            return queueing.place(found, row, 0, await database.read(lambda conn: backlog.begun(conn, row)))
        if row.state == "held":
            return queueing.place(found, row, 0)
        return queueing.place(found, row, await database.read(lambda conn: backlog.ahead(conn, row)))


async def ask(settings: Settings) -> Lag:
    """Of the Kafka that the settings name, or of the embedded one if it runs."""
    try:
        bootstrap = await asyncio.to_thread(where.bootstrap, settings)
    except SpineError as error:
        return Lag(why=str(error).rstrip("."))
    return await lag.look(bootstrap, settings.kafka_group, NAMES)
