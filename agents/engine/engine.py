"""The engine: takes what a claim got, begins what has a slot, commits what happened, hands the slot on."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from agents.base import Operation
from agents.engine import task
from agents.engine.caller import LedgerCaller
from agents.engine.metrics import Metrics
from agents.engine.policy import Patience
from agents.engine.seat import Seat
from agents.engine.shelf import Shelf
from agents.engine.teller import Teller
from prompts import Library
from providers.base import Provider
from providers.prices import PriceTable
from schemas.result import Status
from store import killpoint
from store.database import Database
from store.errors import StoreError
from store.ledger import queries
from store.ledger.claim import ensure_slots
from store.ledger.end import metadata_of
from store.ledger.types import Claimed, End, Pool, Retry, Slot, Step, Stepped
from store.ledger.writer import Committed, Wants, Writer

log = structlog.get_logger(__name__)
AHEAD = 4
"""One row ahead for so many slots: to prepare a call takes some commits' time, to make it much longer."""
LANE_NAMES = ("realtime", "normal", "batch")


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient, and how long a call may take when its request does not say."""

    patience: Patience = field(default_factory=Patience)
    timeout_s: float = 60.0
    told_after_s: float = 1.0
    """A call that takes longer says how far it is."""


class Engine:
    """Runs requests out of one ledger. `start` and `drain` belong to whoever made it."""

    def __init__(
        self,
        writer: Writer,
        database: Database,
        *,
        operations: dict[str, Operation],
        providers: dict[str, Provider],
        prices: PriceTable,
        library: Library,
        metrics: Metrics,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self.writer, self.database, self.providers, self.metrics = writer, database, providers, metrics
        self.tools = task.Tools(
            operations, providers, prices, library, writer.step, limits.patience, limits.timeout_s, self._elsewhere
        )
        self.shelves: dict[Pool, Shelf] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.seats: dict[int, Seat] = {}
        """Rows that have begun before their slot was there."""
        self.stopping: set[int] = set()
        """Rows that somebody has cancelled while they were being called."""
        self.draining = False
        self.on_end: list[Callable[[Claimed, bytes], None]] = []
        self.teller = Teller(database, writer.routes, limits.told_after_s)
        writer.wants, writer.holds = self._wants, self.holds
        writer.listeners.append(self._committed)

    async def ensure_pool(self, pool: Pool) -> None:
        """Make a pool's slots before its first row is accepted. Unknown providers are refused earlier."""
        if pool in self.shelves:
            return
        provider = self.providers[pool[0]]
        wanted = [(pool, node, provider.slots(node, pool[1])) for node in provider.nodes()]
        await self.database.write(lambda conn: ensure_slots(conn, wanted))
        total = sum(count for _, _, count in wanted)
        self.shelves.setdefault(pool, Shelf(pool, total, provider.nodes()))
        self.metrics.slots.labels(*pool).set(total)

    def _elsewhere(self, claim: Claimed, node: str) -> bool:
        """A node has refused at its door: it is left alone for a while. Whether another one is there."""
        return self.shelves[claim.provider, claim.model].avoid(node)

    def look(self) -> None:
        """Something may wait in the ledger that we have not seen: claim in the next transaction."""
        for shelf in self.shelves.values():
            shelf.dirty = True
        self.writer.claim_soon()

    def _wants(self) -> Wants:
        if self.draining:
            return Wants()
        due = [shelf.want() for shelf in self.shelves.values() if shelf.is_due()]
        return Wants(due, {pool: shelf.want() for pool, shelf in self.shelves.items()})

    def _committed(self, done: Committed) -> None:
        self.metrics.commit_seconds.observe(done.took_s)
        claims = done.claims
        if claims is None:
            return
        for pool in claims.asked:
            shelf = self.shelves[pool]
            shelf.dirty, shelf.more = False, pool in claims.more
            shelf.put(
                (row for row in claims.rows if (row.provider, row.model) == pool),
                (slot for slot in claims.slots if (slot.provider, slot.model) == pool),
            )
            self._begin(shelf)

    def _begin(self, shelf: Shelf) -> None:
        """Start every pair; give back the slots that no row can use; ask for more when the shelf runs low."""
        self._start(shelf)
        if shelf.idle:
            surplus, shelf.idle = shelf.idle, []
            self._later(self.writer.free(surplus))
        if shelf.is_due() and not self.draining:
            self.writer.claim_soon()

    def _start(self, shelf: Shelf) -> None:
        if not self.draining:
            for claim, slot in shelf.pair():
                claim.leased_at += time.monotonic() - claim.taken_at
                seat = self.seats.pop(claim.pk, None)
                if seat is not None:
                    seat.give(slot)
                else:
                    self._task(shelf, claim, Seat(slot))
            self._start_ahead(shelf)
        self.metrics.busy.labels(*shelf.pool).set(len(shelf.busy))

    def _start_ahead(self, shelf: Shelf) -> None:
        """The next rows begin before a slot is there, as far as they can without one."""
        for claim in shelf.next(max(1, shelf.total // AHEAD)):
            if claim.pk not in self.tasks:
                self.seats[claim.pk] = Seat()
                self._task(shelf, claim, self.seats[claim.pk])

    def _task(self, shelf: Shelf, claim: Claimed, seat: Seat) -> None:
        self.tasks[claim.pk] = asyncio.create_task(self._work(shelf, claim, seat), name=f"request-{claim.pk}")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        done = asyncio.create_task(work)
        done.add_done_callback(lambda finished: finished.cancelled() or finished.exception())

    async def _work(self, shelf: Shelf, claim: Claimed, seat: Seat) -> None:
        try:
            try:
                step = await self._run(claim, seat)
            except StoreError as error:
                step = _refused(claim, error)
            finally:
                freed = self._leave_seat(shelf, claim, seat)  # once: from here on the slot may be the next row's
            self.metrics.queue_seconds.labels(LANE_NAMES[claim.lane]).observe(
                max(0.0, claim.leased_at - claim.accepted_at)
            )
            await self._record(claim, step, freed)
        finally:
            if self.tasks.get(claim.pk) is asyncio.current_task():  # a quick retry may have begun anew already
                del self.tasks[claim.pk]
            self.stopping.discard(claim.pk)

    async def _record(self, claim: Claimed, step: Step | None, freed: Slot | None) -> None:
        if step is None:
            if freed is not None:
                await self.writer.free([freed])
            return
        try:
            await self._finish(replace(step, free=freed))
        except StoreError as error:
            await self._finish(replace(_refused(claim, error), free=freed))

    async def _run(self, claim: Claimed, seat: Seat) -> Step | None:
        """The row's next step. A cancelled task says what its open call cost."""
        past = await self.database.read(lambda conn: queries.past_calls(conn, claim)) if claim.attempts else []
        holder: list[LedgerCaller] = []
        self.teller.callers[claim.pk] = holder
        try:
            return await task.run(claim, seat, past, self.tools, holder)
        except asyncio.CancelledError:
            if claim.pk not in self.stopping and not self.draining:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            if not holder:
                return Step(claim, then=Retry(0.0))
            if claim.pk in self.stopping:
                return task.stopped(holder[0], metadata_of(claim.value))
            return self._interrupted(holder[0])
        finally:
            if self.teller.callers.get(claim.pk) is holder:
                del self.teller.callers[claim.pk]

    def _interrupted(self, caller: LedgerCaller) -> Step | None:
        """We are leaving and the grace is over: a free call is given back; a paid one stays open and is ambiguous."""
        if caller.claim.paid and caller.pending and caller.pending[-1][0].outcome == "wasted":
            return None
        return Step(caller.claim, caller.kept(), then=Retry(0.0))

    def _leave_seat(self, shelf: Shelf, claim: Claimed, seat: Seat) -> Slot | None:
        """The slot that goes back to everybody, if there was one and no row of ours can use it."""
        if seat.slot is not None:
            return self._hand_on(shelf, seat.slot)
        self.seats.pop(claim.pk, None)
        shelf.drop(claim.pk)
        self._start(shelf)
        return None

    def _hand_on(self, shelf: Shelf, slot: Slot) -> Slot | None:
        """The provider's slot is free as soon as its answer is here: the next ready row begins before this one is booked."""
        shelf.release(slot)
        self._start(shelf)
        if not self.draining and shelf.is_due():
            self.writer.claim_soon()
        if slot in shelf.idle:
            shelf.forget(slot)
            return slot
        return None

    async def _finish(self, step: Step) -> None:
        stepped = await self.writer.step(step)
        self._count(step, stepped)
        if isinstance(step.then, Retry):
            self._wake_in(step.then.delay_s)
        if stepped.body is not None:
            for listener in self.on_end:
                listener(step.claim, stepped.body)

    def _wake_in(self, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s + 0.005, self.look)

    def _count(self, step: Step, stepped: Stepped) -> None:
        claim, m = step.claim, self.metrics
        if not stepped.held:
            m.stale.inc()
        elif isinstance(step.then, End):
            m.requests.labels(claim.operation, step.then.status.value, LANE_NAMES[claim.lane]).inc()
            log.debug("request ended", **task.ids(claim), status=step.then.status.value, attempt=claim.attempts)
            if step.then.status is Status.FAILED and step.then.failure is not None:
                m.errors.labels(claim.operation, step.then.failure.type.value).inc()
        elif isinstance(step.then, Retry):
            m.retries.labels(claim.operation).inc()
        for closing in step.closings:
            m.calls.labels(claim.provider, claim.model, closing.outcome).inc()
            m.call_seconds.labels(claim.provider, claim.model).observe(closing.latency_ms / 1000)
            m.tokens.labels(claim.provider, claim.model, "input").inc(closing.input_tokens)
            m.tokens.labels(claim.provider, claim.model, "output").inc(closing.output_tokens)
            if closing.cost_nano is None:
                m.unpriced.labels(claim.provider, claim.model).inc()
            else:
                m.cost.labels(claim.provider, claim.model, claim.tenant).inc(closing.cost_nano / 1e9)

    def stop(self, pks: Sequence[int]) -> None:
        """Abort calls that somebody has cancelled: the provider's connection is closed."""
        for pk in pks:
            running = self.tasks.get(pk)
            if running is not None and pk not in self.stopping:
                self.stopping.add(pk)
                running.cancel()

    def holds(self) -> tuple[set[int], set[Slot]]:
        """Rows and slots that we know to be ours."""
        pks = set(self.tasks) | {pk for shelf in self.shelves.values() for pk in shelf.pks()}
        return pks, {slot for shelf in self.shelves.values() for slot in (*shelf.idle, *shelf.busy)}

    async def drain(self, grace_s: float) -> None:
        """No new work; running calls get `grace_s` seconds, then free ones are given back and paid ones stay open."""
        self.draining = True
        for pk in self.seats:
            self.tasks[pk].cancel()
        killpoint.passing("draining")
        running = list(self.tasks.values())
        if running:
            await asyncio.wait(running, timeout=grace_s)
        left = [unfinished for unfinished in self.tasks.values() if not unfinished.done()]
        for unfinished in left:
            unfinished.cancel()
        if left:
            await asyncio.wait(left, timeout=5)


def _refused(claim: Claimed, error: StoreError) -> Step:
    log.error("the ledger refused the last word about a request", **task.ids(claim), exc_info=error)
    return task.refused(claim, error)
