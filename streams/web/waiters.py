"""Callers who wait for a result: woken by this process's engine, or by a look into the ledger when another one ran it."""

import asyncio
from collections import defaultdict

import structlog

from store.errors import StoreError
from store.ledger import queries
from store.ledger.news import CHANNEL, heard
from store.ledger.types.claims import Claimed
from store.listen import listen
from streams.spine import Spine

log = structlog.get_logger(__name__)

Place = tuple[int, int]
"""A row and its generation."""

_GATHER_S = 0.02


class Waiters:
    """`start` and `stop` belong to whoever made it; `release` sends everybody home without an answer."""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine
        self._waiting: defaultdict[Place, set[asyncio.Future[bytes | None]]] = defaultdict(set)
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._released = False
        spine.engine.on_end.append(self._ended)

    def start(self) -> None:
        """Begin to look for what other processes answer."""
        self._tasks.append(asyncio.create_task(self._poll(), name="waiters"))
        if not self._spine.database.is_sqlite:
            listening = listen(self._spine.database, CHANNEL, self._heard)
            self._tasks.append(asyncio.create_task(listening, name="waiters-listen"))

    async def stop(self) -> None:
        """No more looks; this process's own engine still wakes those who wait."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def release(self) -> None:
        """The process ends: whoever still waits is told to ask again later."""
        self._released = True
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)

    async def wait(self, place: Place, seconds: float) -> bytes | None:
        """The result of that generation; None when it takes longer. Begin to wait before giving up the loop."""
        if self._released or seconds <= 0:
            return None
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting[place].add(future)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            self._waiting[place].discard(future)
            if not self._waiting[place]:
                del self._waiting[place]

    def _ended(self, claim: Claimed, body: bytes) -> None:
        self._give((claim.pk, claim.generation), body)

    def _give(self, place: Place, body: bytes) -> None:
        for future in self._waiting.get(place, ()):
            if not future.done():
                future.set_result(body)

    def _heard(self, payload: str) -> None:
        worker, _ = heard(payload)
        if worker != self._spine.worker and self._waiting:
            self._look.set()

    async def _poll(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._spine.settings.poll_s):
                    await self._look.wait()
                await asyncio.sleep(_GATHER_S)
            except TimeoutError:
                pass
            self._look.clear()
            if self._waiting:
                await self._find(list(self._waiting))

    async def _find(self, places: list[Place]) -> None:
        try:
            found = await self._spine.database.read(lambda conn: queries.results_of(conn, places))
        except StoreError as error:
            log.debug("cannot look for results", error=str(error))
            return
        for place, body in found.items():
            self._give(place, body)
