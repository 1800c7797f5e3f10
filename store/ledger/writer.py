"""One writer per process: whatever waits goes into one short transaction, again and again.

No added wait when idle, big batches under load. While the database is away everything waits here: nobody upstream is
told 'done', so intake does not ack and no call begins.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from store import killpoint
from store.database import Database
from store.errors import Away, BadData, Met
from store.ledger import pending, refused
from store.ledger.budgeting import Known
from store.ledger.pending import Item
from store.ledger.throttle import Heard
from store.ledger.transaction import Committed, Wants, apply
from store.ledger.types.arrivals import Accepted, Arrival
from store.ledger.types.claims import Slot
from store.ledger.types.records import Routes
from store.ledger.types.steps import Step, Stepped

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0
_MAX_MEETINGS = 5
_INTENTS_FIRST_S = 0.025
"""So long do answers, marks and arrivals give way to intents when both wait."""


@dataclass(slots=True)
class Health:
    """Whether the ledger can be written, why not, and since when (seconds since 1970)."""

    ok: bool = True
    why: str = ""
    since: float = field(default_factory=time.time)


class Writer:
    """Runs the hot path's transactions. `wants` is asked before each one what the engine could claim."""

    def __init__(self, database: Database, routes: Routes, worker: str) -> None:
        self.database, self.routes, self.worker = database, routes, worker
        self.health = Health()
        self.known = Known()
        """The budgets that there are, as this process saw them last."""
        self.wants: Callable[[], Wants] = Wants
        self.holds: Callable[[], tuple[set[int], set[Slot]]] = _nothing
        self.listeners: list[Callable[[Committed], None]] = []
        self._waiting: list[Item] = []
        self._wake = asyncio.Event()
        self._claim = False
        self._batch: list[Item] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the loop that calls this is the writer's."""
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def aclose(self) -> None:
        """Commit what waits, then stop."""
        if (left := self._batch + self._waiting) and self.health.ok:
            await asyncio.wait([item.future for item in left], timeout=10)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for item in self._batch + self._waiting:
            item.future.cancel()

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Returned means committed with full durability: the records may be acked."""
        return list(await self._submit(Item(_future(), arrivals=arrivals)))

    async def step(self, step: Step) -> Stepped:
        """Returned means committed: after an intent the call's first byte may leave."""
        found: Stepped = await self._submit(Item(_future(), step=step))
        return found

    async def mark(self, pks: Sequence[int]) -> None:
        """These records of the outbox were published."""
        await self._submit(Item(_future(), marks=pks))

    async def free(self, slots: Sequence[Slot]) -> None:
        """Give slots back that no row of ours can use."""
        await self._submit(Item(_future(), frees=slots))

    def learn(self, heard: Heard) -> None:
        """What a call showed of its provider, for all processes; in the order in which it is said, before what is said next."""
        item = Item(_future(), heard=[heard])
        item.future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(item)
        self._wake.set()

    async def audit(self) -> int:
        """Give back rows and slots that the ledger says are ours and `holds` does not know; how many there were.

        In the writer's own order, so that whatever an earlier commit brought us is known by now.
        """
        found: int = await self._submit(Item(_future(), audit=True))
        return found

    def claim_soon(self) -> None:
        """Ask `wants` in the next transaction."""
        self._claim = True
        self._wake.set()

    async def _submit(self, item: Item) -> Any:
        self._waiting.append(item)
        self._wake.set()
        return await item.future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._claim:
                await self._once()

    async def _once(self) -> None:
        await asyncio.sleep(0)  # who is about to say something says it now
        batch, intents_only = self._next()
        self._batch = batch
        try:
            await self._commit(batch, claims=not intents_only)
        except Exception as error:
            log.exception("the ledger writer met what it does not know; it goes on")
            for item in batch:
                item.fail(error)
            await asyncio.sleep(_FIRST_WAIT_S)
        self._batch = []

    def _next(self) -> tuple[list[Item], bool]:
        """Intents go before whatever else waits, for a while: behind each a slot stands idle."""
        intents = [item for item in self._waiting if item.is_intent()]
        others = [item for item in self._waiting if not item.is_intent()]
        if intents and others and time.monotonic() - others[0].since < _INTENTS_FIRST_S:
            cut = pending.cut(intents, MAX_BATCH)
            self._waiting = intents[cut:] + others
            return intents[:cut], True
        self._claim = False
        cut = pending.cut(self._waiting, MAX_BATCH)
        batch, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return batch, False

    async def _commit(self, batch: list[Item], *, claims: bool = True) -> None:
        """All of it, or its parts: a command that cannot be kept is found by halving, without claims, whose fault it is not."""
        started = time.perf_counter()
        try:
            answers, committed = await self._patiently(batch, claims=claims)
        except Exception as error:  # the database refuses a value, or a defect: either way the writer must live
            if not isinstance(error, BadData):
                log.exception("a defect in one of these commands or in the claim; they are tried apart")
            if claims:
                return await self._commit(batch, claims=False)
            return await self._halve(batch, error)
        if committed.claims is not None and committed.claims.rows:
            killpoint.passing("leased")
        if committed.ended:
            killpoint.passing("recorded")
        for item, answer in zip(batch, answers, strict=True):
            item.settle(answer)
        done = replace(committed, took_s=time.perf_counter() - started)
        self._tell(done)
        return None

    def _tell(self, done: Committed) -> None:
        for listener in self.listeners:
            try:
                listener(done)
            except Exception:
                log.exception("a listener of the ledger writer broke; the others are told")

    async def _patiently(self, batch: list[Item], *, claims: bool) -> tuple[list[Any], Committed]:
        """Again and again while the database is away."""
        wait, meetings = _FIRST_WAIT_S, 0
        while True:
            try:
                wants, holds = self.wants() if claims else Wants(), self.holds()
                done = await self.database.write(
                    lambda conn: apply(conn, self.routes, self.worker, self.known, batch, wants, holds)  # noqa: B023 - awaited here
                )
            except Met as error:
                meetings += 1
                if meetings >= _MAX_MEETINGS:
                    raise BadData(str(error)) from error
            except Away as error:
                for first in (arrival.first for item in batch for arrival in item.arrivals):
                    if first is not None:
                        first.unsure = True
                self._is_away(error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)
            else:
                self._is_back()
                return done

    async def _halve(self, batch: list[Item], error: Exception) -> None:
        """Until the culprit stands alone; it is answered, and everybody else in their order."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle], claims=False)
            await self._commit(batch[middle:], claims=False)
            return
        if not batch:
            raise error
        item = batch[0]
        if len(item.arrivals) > 1:
            middle = len(item.arrivals) // 2
            parts = [item.arrivals[:middle], item.arrivals[middle:]]
        elif item.arrivals and (instead := refused.kept_instead(item.arrivals[0], error)) is not None:
            log.warning("the database refuses a value", error=type(error).__name__, **refused.ids(item.arrivals[0]))
            parts = [[instead]]
        else:
            item.fail(error)
            return
        halves = [Item(_future(), arrivals=part) for part in parts]
        for half in halves:
            await self._commit([half], claims=False)
        failed = [broken for half in halves if (broken := half.future.exception()) is not None]
        if failed:
            item.fail(failed[0])
        else:
            item.settle([answer for half in halves for answer in half.future.result()])

    def hears(self, error: Away | None) -> None:
        """What a heartbeat has met: who has nothing to write would not notice that the database has gone."""
        if error is not None:
            self._is_away(error)
        elif not self._batch:
            self._is_back()

    def _is_away(self, error: Away) -> None:
        if self.health.ok:
            log.error("the database is away; intake and calls wait for it", error=str(error))
            self.health = Health(ok=False, why=str(error))
        self.health.why = str(error)

    def _is_back(self) -> None:
        if not self.health.ok:
            log.info("the database is back", away_s=round(time.time() - self.health.since, 1))
            self.health = Health()


def _nothing() -> tuple[set[int], set[Slot]]:
    return set(), set()


def _future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()
