"""Where the minutes of keys are counted: in the ledger, or in the Redis that `GENAI_REDIS_URL` names.

Redis is never needed: while it is away the ledger counts instead, from nothing, so that the minute in which it goes or comes back may see
twice the limit. What a key may have unfinished at a time is always counted in the ledger, with the request itself.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from store.database import Database
from store.ledger import quotas
from store.ledger.quotas import MINUTE_S, Lent, Most, Wish, grant
from store.ledger.types.claims import Pool

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)
PATIENCE_S = 1.0
"""So long Redis may take for a block; a door waits for it."""
REST_S = 5.0
"""After it was away it is asked again so much later."""
_KEPT_S = 2 * MINUTE_S


class Lending(Protocol):
    """Lends blocks of a minute to processes."""

    async def lend(self, pool: Pool, most: Most, wish: Wish) -> Lent:
        """`wish` may be asked more than once. Raises StoreError."""

    async def aclose(self) -> None:
        """Its owner is the process."""


class InLedger:
    """One row of a pool and a minute, which others wait for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lend(self, pool: Pool, most: Most, wish: Wish) -> Lent:
        """In a transaction of its own."""
        return await self._database.write(lambda conn: quotas.lend(conn, pool, most, wish))

    async def aclose(self) -> None:
        """The database is somebody else's."""


class InRedis:
    """One hash of a pool and a minute, by Redis' own clock; whoever was overtaken looks again."""

    def __init__(self, client: "Redis", otherwise: Lending, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._otherwise, self._clock = client, otherwise, clock
        self._again_at = -1.0

    async def lend(self, pool: Pool, most: Most, wish: Wish) -> Lent:
        """By the ledger while Redis is away."""
        from redis.exceptions import RedisError

        if self._clock() >= self._again_at:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await self._lent(pool, most, wish)
            except (RedisError, OSError, TimeoutError) as error:
                self._again_at = self._clock() + REST_S
                log.warning(
                    "Redis is away; the ledger counts the minutes of keys meanwhile", error=type(error).__name__
                )
        return await self._otherwise.lend(pool, most, wish)

    async def _lent(self, pool: Pool, most: Most, wish: Wish) -> Lent:
        from redis.exceptions import WatchError

        seconds, micros = await self._client.time()
        at = seconds + micros / 1e6
        name = f"genai:minute:{pool[0]}:{pool[1]}:{int(at // MINUTE_S)}"
        async with self._client.pipeline(transaction=True) as pipe:
            while True:
                await pipe.watch(name)
                calls, tokens = [int(each or 0) for each in await pipe.hmget(name, ["calls", "tokens"])]
                lent = grant(most, (calls, tokens), at, wish)
                if not (lent.calls or lent.tokens):
                    return lent
                pipe.multi()  # type: ignore[no-untyped-call]  # as the wheel has it
                pipe.hset(name, mapping={"calls": calls + lent.calls, "tokens": tokens + lent.tokens})
                pipe.expire(name, _KEPT_S)
                try:
                    await pipe.execute()
                except WatchError:
                    continue
                return lent

    async def aclose(self) -> None:
        """Its connections."""
        await self._client.aclose()


def lending(redis_url: str | None, database: Database) -> Lending:
    """As the settings say; connects at the first use."""
    ledger = InLedger(database)
    if redis_url is None:
        return ledger
    from redis.asyncio import Redis

    return InRedis(Redis.from_url(redis_url, socket_connect_timeout=PATIENCE_S), ledger)
