"""The keys that this process knows: all of them, in memory, looked for again when a cheap question says that one has changed.

So no request asks the database about a key, and one that nobody has made costs nothing. A revocation is known everywhere
after `FRESH_S` and a look.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from store import keys as rows_of
from store.database import Database
from store.errors import StoreError
from streams import keys
from streams.web.principal import Limits, Principal, Scopes

log = structlog.get_logger(__name__)

FRESH_S = 1.0
AGAIN_S = 0.25
"""For a key that nobody knows the database is asked at most so often."""
USED_EVERY_S = 30.0
_NONE = bytes(32)


@dataclass(frozen=True, slots=True)
class Known:
    """One secret that opens the door, until a moment."""

    digest: bytes
    principal: Principal
    until: float | None
    revoked: bool


def known(found: Sequence[Any]) -> dict[str, Known]:
    """By what is shown of each: the key itself, and the one before its last rotation."""
    made: dict[str, Known] = {}
    for row in found:
        who = principal(row)
        revoked = row.revoked_at is not None
        made[row.prefix] = Known(row.digest, who, row.expires_at, revoked)
        if row.old_prefix is not None:
            until = min(each for each in (row.old_until, row.expires_at) if each is not None)
            made[row.old_prefix] = Known(row.old_digest, who, until, revoked)
    return made


def principal(row: Any) -> Principal:
    """Who a key stands for."""
    told = orjson.loads(row.scopes)
    scopes = Scopes(tuple(told["operations"]), tuple(told["models"]), tuple(told["lanes"]), told["admin"])
    return Principal(row.id, row.tenant, scopes, Limits(row.rpm, row.tpm, row.concurrency))


class Keyring:
    """`loaded`: whether it knows yet which keys there are. Whoever starts it stops it."""

    def __init__(self, clock: Callable[[], float] = time.time, fresh_s: float = FRESH_S) -> None:
        self.loaded = False
        self._clock, self._fresh_s = clock, fresh_s
        self._known: dict[str, Known] = {}
        self._version: tuple[int, int] | None = None
        self._used: dict[str, float] = {}
        self._database: Database | None = None
        self._task: asyncio.Task[None] | None = None
        self._looked_at = -AGAIN_S
        self._looking = asyncio.Lock()

    async def start(self, database: Database) -> None:
        """Know them all, and go on looking. Raises `StoreError`."""
        self._database = database
        await self.look(database)
        self._task = asyncio.create_task(self._watch(database), name="keyring")

    async def stop(self) -> None:
        """Say at last when keys were used."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._database is not None:
            await self._tell_used(self._database)

    @property
    def empty(self) -> bool:
        """Nobody has ever made a key."""
        return not self._known

    async def find(self, given: str) -> Principal | str:
        """Whose key it is, or a sentence why it opens nothing. One that was made a moment ago is looked for."""
        found = self._find(given)
        if found is None and keys.is_one(given) and await self._looked_again():
            found = self._find(given)
        return found or "Nobody has made this key"

    def _find(self, given: str) -> Principal | str | None:
        """Takes as long for a prefix that nobody has; None: unknown."""
        at = self._clock()
        found = self._known.get(keys.prefix(given)) if keys.is_one(given) else None
        fits = hmac.compare_digest(keys.digest(given.encode(errors="replace")), found.digest if found else _NONE)
        if found is None or not fits:
            return None
        if found.revoked:
            return f"The key {keys.prefix(given)}… was revoked"
        if found.until is not None and found.until <= at:
            return f"The key {keys.prefix(given)}… has expired"
        assert found.principal.key_id is not None
        self._used[found.principal.key_id] = at
        return found.principal

    async def _looked_again(self) -> bool:
        """Who comes while a look is under way, or too soon after one, waits for the next; all of them for the same."""
        came = time.monotonic()
        async with self._looking:
            if self._database is None or self._looked_at > came:
                return self._database is not None
            await asyncio.sleep(max(0.0, self._looked_at + AGAIN_S - came))
            try:
                await self.look(self._database)
            except StoreError:
                return False
            return True

    async def _watch(self, database: Database) -> None:
        told_at = self._clock()
        while True:
            await asyncio.sleep(self._fresh_s)
            try:
                await self.look(database)
                if self._clock() - told_at > USED_EVERY_S:
                    told_at = self._clock()
                    await self._tell_used(database)
            except StoreError as error:  # what is known goes on to count; nothing is taken while the database is away
                log.debug("cannot look for keys", error=str(error))
            except Exception:  # whoever stopped looking would never hear of a revocation
                log.exception("the look for keys met what it does not know; it goes on")

    async def look(self, database: Database) -> None:
        """Know what has changed. Raises `StoreError`."""
        self._looked_at = time.monotonic()
        version = await database.read(rows_of.version)
        if version != self._version:
            found = await database.read(lambda conn: (rows_of.version(conn), rows_of.every(conn)))
            self._version, self._known = found[0], known(found[1])
        self.loaded = True

    async def _tell_used(self, database: Database) -> None:
        told, self._used = self._used, {}
        if not told:
            return
        try:
            await database.write(lambda conn: rows_of.used(conn, told))
        except StoreError as error:
            self._used = {**told, **self._used}
            log.debug("cannot say when keys were used", error=str(error))
