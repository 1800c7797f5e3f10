"""What other processes say over PostgreSQL's LISTEN; a hint that may be lost, so whoever listens also polls."""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from store.database import Database, pg_args, pg_url

log = structlog.get_logger(__name__)

_RETRY_S = 5.0


async def listen(database: Database, channel: str, heard: Callable[[str], None]) -> None:
    """For ever, over lost connections: `heard` gets each payload, in this loop."""
    dsn = pg_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            connection = await asyncpg.connect(dsn, **pg_args(database.url))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.debug("cannot listen to the database", error=str(error))
            await asyncio.sleep(_RETRY_S)
            continue
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _, ended=ended: ended.set())
            await connection.add_listener(channel, lambda _c, _pid, _channel, payload: heard(payload))
            await ended.wait()
        finally:
            connection.terminate()
