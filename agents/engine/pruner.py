"""What is old goes: a little at a time, with rests in between, so that nobody waits for it."""

import asyncio
import time
from functools import partial

import structlog

from store.database import Database, now
from store.errors import StoreError
from store.ledger import room
from store.ledger.room import Keep

log = structlog.get_logger(__name__)

EVERY_S = 300.0
BATCH = 500
REST = 3
"""So many times as long as a batch took it rests: a quarter of the writer's time at most."""


class Pruner:
    """`start` and `aclose` belong to whoever made it. Several processes may do the same work: what one has taken is gone."""

    def __init__(self, database: Database, keep: Keep, *, every_s: float = EVERY_S) -> None:
        self.database, self.keep, self.every_s = database, keep, every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; nothing when everything is kept for ever."""
        if self.keep != Keep():
            self._task = asyncio.create_task(self._run(), name="pruner")

    async def aclose(self) -> None:
        """Stop; a batch is whole or was never begun."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.every_s)
            try:
                gone = await prune(self.database, self.keep)
            except StoreError as error:  # the writer's health tells; this comes round again
                log.debug("pruning waits for the database", error=str(error))
                continue
            if any(gone.values()):
                log.info("pruned what is old", **gone)


async def prune(database: Database, keep: Keep, *, rest: float = REST) -> dict[str, int]:
    """All that is old now; how many rows of each kind have gone."""
    at = await database.read(now)
    return {kind: await _all(database, kind, before, rest) for kind, before in keep.cutoffs(at).items()}


async def _all(database: Database, kind: str, before: float, rest: float) -> int:
    total = 0
    while True:
        began = time.monotonic()
        gone = await database.write(partial(room.drop, kind=kind, before=before, most=BATCH))
        if not gone:
            return total
        total += gone
        await asyncio.sleep(rest * (time.monotonic() - began))
