"""The pulse of a process: it joins, beats, takes over from the dead, looks for cancels, and leaves in good order."""

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from agents.engine.engine import Engine
from agents.engine.placer import TICK_S
from store.database import Database
from store.errors import Away, StoreError
from store.ledger import budgets, cache, cancels, generating, life, patience, pieces, unused
from store.ledger.claim import known_pools
from store.ledger.news import CHANNEL, heard
from store.ledger.transaction import Committed
from store.ledger.types.records import Routes
from store.listen import listen
from store.liveness import Life, Sight, dead

log = structlog.get_logger(__name__)
_BETWEEN_S = 0.05
"""Between two small batches of a sweep: whoever waits for the database goes first."""

_BUDGETS_S = 2.0
"""So long may a share of a budget have been reached before anybody is told."""

_POOLS_S = unused.SAID_S / 3
"""So often the ledger is told which pools are used here: before it must be told because of a request."""

_SOON_S = 0.5
"""What the database did not take is tried again so soon."""

_STOP_WITHIN_S = 0.5
"""How long a cancel may stand unseen where nobody is notified of it; a shorter `poll_s` goes first."""


class Keeper:
    """`dead` is set when others have declared us dead: whatever we hold is theirs, so the process must end."""

    def __init__(
        self,
        engine: Engine,
        database: Database,
        routes: Routes,
        worker: str,
        *,
        lease_s: float,
        poll_s: float,
        bounds: cache.Bounds,
    ) -> None:
        self.bounds = bounds
        self.engine, self.database, self.routes, self.worker = engine, database, routes, worker
        self.lease_s, self.poll_s = lease_s, poll_s
        self.dead = asyncio.Event()
        self._life: Life | None = None
        self._sight = Sight(lease_s)
        self._tasks: list[asyncio.Task[None]] = []
        self._cancels = asyncio.Event()
        """Somebody has cancelled: one of our calls may be meant."""
        engine.writer.listeners.append(self._committed)

    @property
    def _folder(self) -> Path:
        return Path(f"{self.database.url.database}.workers")

    async def start(self) -> None:
        """Join, learn the pools, and begin to beat."""
        if self.database.is_sqlite:
            self._life = Life(self._folder, self.worker)
        await self.database.write(lambda conn: life.register(conn, self.worker, platform.node(), os.getpid()))
        await self.engine.pools.sweep()
        await self._poll()
        self._tasks = [
            asyncio.create_task(self._every(self.lease_s / 3, self._beat), name="heartbeat"),
            asyncio.create_task(self._every(self.lease_s / 3, self._audit), name="audit"),
            asyncio.create_task(self._every(min(self.poll_s, self.lease_s / 6), self._take_over), name="takeover"),
            asyncio.create_task(self._every(self.poll_s, self._poll), name="poll"),
            asyncio.create_task(self._watch_cancels(), name="cancels"),
            asyncio.create_task(self._every(self.poll_s, self.engine.teller.tell), name="teller"),
            asyncio.create_task(self._every(60.0, self._sweep), name="sweep"),
            asyncio.create_task(self._every(_POOLS_S, self.engine.pools.sweep), name="pools"),
            asyncio.create_task(self._every(_BUDGETS_S, self._watch_budgets), name="budgets"),
            asyncio.create_task(self._every(TICK_S, self.engine.pools.placer.tick), name="placer"),
        ]
        if not self.database.is_sqlite:
            self._tasks.append(asyncio.create_task(listen(self.database, CHANNEL, self._heard), name="listen"))

    async def aclose(self) -> None:
        """Leave: rows and slots that are left go back at once. The engine is drained before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.pools.placer.aclose()
        if not self.dead.is_set():
            await self._leave()
        if self._life is not None:
            self._life.close()

    async def _leave(self) -> None:
        try:
            await self.database.write(lambda conn: life.give_back(conn, self.worker, (), ()))
            await self.database.write(lambda conn: life.leave(conn, self.routes, self.worker))
        except StoreError as error:
            log.warning("left without a word, the database is away; others will take over", error=str(error))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        wait = seconds
        while True:
            await asyncio.sleep(wait)
            try:
                await work()
                wait = seconds
            except (StoreError, TimeoutError) as error:  # the writer's health tells; this comes round again
                wait = min(seconds, _SOON_S)
                log.debug("the pulse skipped a beat", error=str(error) or type(error).__name__)

    async def _beat(self) -> None:
        if self.dead.is_set():
            return
        try:
            async with asyncio.timeout(None if self.database.is_sqlite else self.lease_s / 3):
                lives = await self.database.write(lambda conn: life.beat(conn, self.worker))
        except (Away, TimeoutError) as error:  # a line may be dead, and not cut
            self.engine.writer.hears(error if isinstance(error, Away) else Away("it does not answer"))
            raise
        self.engine.writer.hears(None)
        if not lives:
            log.error(
                "this worker was declared dead: its heart did not beat for a lease; it ends so that a new one can start"
            )
            self.dead.set()

    async def _audit(self) -> None:
        """Apart from the heartbeat: the writer may be busy, or wait for the database on another line."""
        if not self.dead.is_set() and (lost := await self.engine.writer.audit()):
            log.warning("gave back rows and slots of a commit whose outcome was unknown", count=lost)

    async def _take_over(self) -> None:
        if self.database.is_sqlite:
            names = [name for name in await self.database.read(life.everyone) if name != self.worker]
            gone = await asyncio.to_thread(dead, self._folder, names)
            ambiguous = await self.database.write(lambda conn: life.bury(conn, self.routes, gone)) if gone else 0
        else:
            gone, ambiguous = await self._bury_silent()
        if gone:
            log.warning("took over from dead workers", workers=gone, ambiguous_calls=ambiguous)
            self.engine.metrics.ambiguous.inc(ambiguous)
            self.engine.look()

    async def _bury_silent(self) -> tuple[list[str], int]:
        beats, now = await self.database.read(life.beats)
        beats.pop(self.worker, None)
        silent = self._sight.silent(beats, now, time.monotonic())
        if not silent:
            return [], 0
        return await self.database.write(lambda conn: life.bury_silent(conn, self.routes, silent))

    async def _poll(self) -> None:
        for pool in await self.database.read(known_pools):
            if pool[0] in self.engine.providers:
                await self.engine.pools.learn(pool)
        for pool in await self.database.read(lambda conn: unused.bare(conn, self.engine.providers)):
            await self.engine.pools.make(pool)
        if not self.database.is_sqlite and await self.database.read(cancels.missed):  # SQLite has one writer: none can
            count = await self.database.write(lambda conn: cancels.join_missed(conn, self.routes))
            if count:  # else another process was faster
                log.info("cancels that came at the same moment as their requests were applied", count=count)
                self._cancels.set()
        await self._move_on()
        self.engine.look()

    async def _move_on(self) -> None:
        """Rows that have waited long enough for their route's target go to the next one."""
        pools = await self.database.read(patience.ahead)
        ready = {pool for pool in pools if pool[0] in self.engine.providers}
        for pool in ready:
            await self.engine.pools.ensure(pool)
        if ready and (count := await self.database.write(lambda conn: patience.move(conn, self.routes, ready))):
            log.info("requests had waited long enough for their model and go to the next one", count=count)

    def _heard(self, payload: str) -> None:
        """Another process has accepted rows, freed slots, or cancelled."""
        worker, cancelled = heard(payload)
        if worker == self.worker:
            return
        if cancelled:
            self._cancels.set()
        if not self.engine.draining:
            self.engine.look()

    def _committed(self, done: Committed) -> None:
        if done.cancels:
            self._cancels.set()

    async def _watch_cancels(self) -> None:
        """Also while draining: a cancel is then worth most."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self.poll_s, _STOP_WITHIN_S)):
                    await self._cancels.wait()
            self._cancels.clear()
            try:
                await self._stop_cancelled()
            except StoreError as error:
                log.debug("cannot look for cancels", error=str(error))

    async def _stop_cancelled(self) -> None:
        if self.engine.holds()[0]:
            self.engine.recalls.stop(await self.database.read(lambda conn: life.told_to_stop(conn, self.worker)))

    async def _watch_budgets(self) -> None:
        due = await self.database.read(budgets.due)
        if not due:
            return
        for each in await self.database.write(lambda conn: budgets.watch(conn, due)):
            state = each.state
            told = {"budget": state.id, "whose": state.scope.words(), "period": state.period, "share": each.share}
            log.warning("a budget is spent to this share", **told, hard=state.hard)
            self.engine.metrics.budget_shares.labels(str(state.id), str(each.share)).inc()

    async def _sweep(self) -> None:
        await self.database.write(life.forget_cancels)
        await self.database.write(generating.sweep)
        if wrong := await self.database.write(budgets.recount):
            log.warning("what was reserved of budgets was not what requests hold; it is now", budgets=wrong)
        await self.database.write(pieces.sweep)
        more = True
        while more:
            more = await self.database.write(lambda conn: cache.sweep(conn, self.bounds))
            await asyncio.sleep(_BETWEEN_S)
