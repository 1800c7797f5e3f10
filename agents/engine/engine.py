"""The engine: takes what a claim got, begins what has a slot, commits what happened, hands the slot on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from agents.base import Operation
from agents.engine import routed, task, tiering
from agents.engine.caller import LedgerCaller, Reads
from agents.engine.early import Earlies, Early
from agents.engine.gates import Gates
from agents.engine.hedging import Hedging
from agents.engine.metrics import Metrics
from agents.engine.placer import LOADED_AFTER_S, Placer
from agents.engine.policy import Patience
from agents.engine.poster import Poster
from agents.engine.quotas import Bounds, Quotas, spread
from agents.engine.seat import Seat
from agents.engine.shelf import Shelf
from agents.engine.teller import Teller
from agents.engine.tiers import Rules as TierRules
from prompts import Library
from providers.base import Provider
from providers.calls import Spent
from providers.errors import ProviderError
from providers.prices import PriceTable
from schemas.result import Status
from schemas.routes import guards
from store import killpoint
from store.database import Database
from store.errors import Away, StoreError
from store.ledger import queries
from store.ledger.answers import metadata_of
from store.ledger.claim import ensure_slots
from store.ledger.opening import never_made
from store.ledger.order import Rules
from store.ledger.quotas import Lent, Most, borrow
from store.ledger.types import (
    RESUMABLE,
    Accepted,
    Arrival,
    Ask,
    Call,
    Claimed,
    End,
    Move,
    Pool,
    Retry,
    Seen,
    Shared,
    Slot,
    Step,
    Stepped,
    Want,
)
from store.ledger.writer import Committed, Wants, Writer

log = structlog.get_logger(__name__)
AHEAD = 4
"""One row ahead for so many slots: to prepare a call takes some commits' time, to make it much longer."""
_AWAY_S = 0.25
_UNSEEN_S = 0.02
"""After so long a claim is made again that met a limit while another process held it: some commits' time."""
LANE_NAMES = ("realtime", "normal", "batch")


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient, and how long a call may take when its request does not say."""

    patience: Patience = field(default_factory=Patience)
    timeout_s: float = 60.0
    told_after_s: float = 1.0
    """A call that takes longer says how far it is."""
    bounds: Bounds = field(default_factory=Bounds)
    """What a pool may be asked for in a minute, and at a time."""
    rules: Rules = field(default_factory=Rules)
    tiers: TierRules = field(default_factory=TierRules)


async def _is_here(_: str) -> None:
    """Wordings that come from files are all there from the start."""


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
        ensure: Callable[[str], Awaitable[object]] = _is_here,
        near: Callable[[str], list[str]] = lambda _: [],
    ) -> None:
        limits = limits or Limits()
        self.writer, self.database, self.providers, self.metrics = writer, database, providers, metrics
        self.readers: dict[tuple[str, str, str], Reads] = {}
        """By identity: who reads along while an answer is made. Whoever puts one here takes it away again."""
        self.poster = Poster(database)
        """To readers in other processes."""
        self.gates = Gates()
        self.shelves: dict[Pool, Shelf] = {}
        self.hedging = Hedging(
            database,
            writer.worker,
            providers,
            self.shelves,
            self.gates,
            lambda slot: self._later(self.writer.free([slot])),
        )
        self.tools = task.Tools(
            operations,
            providers,
            prices,
            library,
            writer.step,
            limits.patience,
            limits.timeout_s,
            self._heard,
            self._elsewhere,
            self._allowed,
            self._gpu_nodes,
            ensure,
            self._reads,
            near,
            limits.tiers,
            self.hedging.of,
        )
        self.rules = limits.rules
        self.quotas = Quotas(limits.bounds, self._borrow)
        self._bounds = limits.bounds
        self._waking: asyncio.TimerHandle | None = None
        """When the next pause ends, or the next door may be tried."""
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.seats: dict[int, Seat] = {}
        """Rows that have begun before their slot was there."""
        self.earlies = Earlies(writer, self._room, self._begin_early)
        self.stopping: set[int] = set()
        """Rows that somebody has cancelled while they were being called."""
        self.returning: set[int] = set()
        """Rows that have begun for a slot which has gone from us: they go back."""
        self.draining = False
        self.on_end: list[Callable[[Claimed, bytes], None]] = []
        self.teller = Teller(database, writer.routes, limits.told_after_s)
        self.placer = Placer(
            database, providers, writer.worker, models=self._models, is_needed=self._is_at_work, look=self.look
        )
        writer.wants, writer.holds = self._wants, self.holds
        writer.listeners.append(self._committed)

    async def ensure_pool(self, pool: Pool) -> None:
        """Make a pool's slots before its first row is accepted. Unknown providers are refused earlier."""
        if pool in self.shelves:
            return
        provider = self.providers[pool[0]]
        nodes = provider.nodes()
        counts = spread([provider.slots(node, pool[1]) for node in nodes], self._bounds.of(pool).concurrency)
        wanted = [(pool, node, count) for node, count in zip(nodes, counts, strict=True)]
        placed = pool[0] in self.placer.providers
        await self.database.write(lambda conn: ensure_slots(conn, wanted, placed=placed))
        if placed:
            await self.placer.settle(pool[0])
        total = sum(count for _, _, count in wanted)
        self.shelves.setdefault(pool, Shelf(pool, total, lambda: self.gates.closed(pool, nodes), rules=self.rules))
        self.metrics.slots.labels(*pool).set(total)

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Into the ledger, as the writer takes it; what may find a slot at once begins meanwhile."""
        return await self.earlies.accept(arrivals)

    def _room(self, what: Ask) -> int:
        """How many of its pool may begin as they come: no more than its slots, and none that would wait for its calls in a minute."""
        pool = (what.provider, what.model)
        operation = self.tools.operations.get(what.operation)
        if operation is None or not operation.early or what.response == RESUMABLE:  # its pieces are told of its row
            return 0
        if guards(what.route):  # a verdict is counted once
            return 0
        shelf = self.shelves.get(pool)
        bounded = self._bounds.of(pool).most() is not None
        return 0 if shelf is None or self.draining or bounded else shelf.spare()

    def _begin_early(self, early: Early) -> asyncio.Task[None]:
        shelf = self.shelves[early.claim.provider, early.claim.model]
        return asyncio.create_task(self._work(shelf, early.claim, early.seat, early), name="early")

    def _arrived(self, row: Claimed, call: Call | None) -> Claimed | None:
        """A row that was leased; with its first `call` open it has begun already, unless nobody waits for it any more."""
        if call is None:
            return row
        early = self.earlies.find(call.id)
        if early is None:
            self._later(self._finish(never_made(row, call)))
            return None
        self.tasks[row.pk], self.seats[row.pk] = early.task, early.seat
        self.teller.callers[row.pk] = early.holder
        if self.draining:
            early.task.cancel()
        return early.take(row)

    def _heard(self, claim: Claimed, node: str, ended: ProviderError | Spent, took_s: float) -> None:
        """A call has ended so: what it shows of its provider's limits holds here at once, and everywhere with the next commit."""
        pool = (claim.provider, claim.model)
        load_s = ended.load_s or 0.0 if isinstance(ended, Spent) else 0.0
        self.placer.used(pool, node, load_s)
        if load_s >= LOADED_AFTER_S:
            self.metrics.loads.labels(pool[0], node).inc()
        error = ended if isinstance(ended, ProviderError) else None
        if error is None:
            self.hedging.saw(claim, took_s)
        heard = self.gates.hear(error, pool, node, self.providers[claim.provider].nodes(), took_s)
        if heard is not None:
            self.writer.learn(heard)
            self.shelves[pool].dirty = True

    async def _gpu_nodes(self, claim: Claimed) -> dict[str, bool | None]:
        return await self.placer.asked_gpus(claim.provider)

    def _reads(self, claim: Claimed) -> Reads | None:
        if claim.response == RESUMABLE:  # told out of the ledger only, so that it is the same each time
            return self.poster.reads(claim)
        reader = self.readers.get((claim.tenant, claim.operation, claim.id))
        return self.poster.reads(claim) if reader is None and claim.streamed else reader

    def _want(self, shelf: Shelf) -> Want:
        """Nodes that have a GPU go first, so that whoever needs one gets it while there is one."""
        first = self.placer.first.get(shelf.pool[0])
        return shelf.want() if first is None else replace(shelf.want(), first=first)

    def _models(self, provider: str) -> set[str]:
        return {model for name, model in self.shelves if name == provider}

    def _is_at_work(self, provider: str) -> bool:
        """Whether rows of this provider wait, here or in the ledger, or are called."""
        ours = (shelf for pool, shelf in self.shelves.items() if pool[0] == provider)
        return any(shelf.busy or shelf.rows or shelf.more for shelf in ours)

    async def _allowed(self, claim: Claimed, tokens: int) -> None:
        """Returns when the call may leave, by what its pool may be asked for in a minute."""
        await self.quotas.take((claim.provider, claim.model), tokens)

    async def _borrow(self, pool: Pool, most: Most, calls: int, tokens: int) -> Lent:
        return await self.database.write(lambda conn: borrow(conn, pool, most, calls, tokens))

    def is_closed(self, pool: Pool) -> bool:
        """Whether no call of this pool may begin now: its provider asked to wait, or refused again and again."""
        nodes = self.providers[pool[0]].nodes()
        return self.gates.closed(pool, nodes) >= frozenset(nodes)

    def _elsewhere(self, claim: Claimed, node: str) -> bool:
        """Whether another node than this one may be asked now."""
        nodes = self.providers[claim.provider].nodes()
        return bool(frozenset(nodes) - self.gates.closed((claim.provider, claim.model), nodes) - {node})

    def look(self) -> None:
        """Something may wait in the ledger that we have not seen: claim in the next transaction."""
        for shelf in self.shelves.values():
            shelf.dirty = True
            if shelf.is_stranded():
                self._return(shelf.pks())
        self.writer.claim_soon()

    def _wants(self) -> Wants:
        if self.draining:
            return Wants()
        wants = {pool: self._want(shelf) for pool, shelf in self.shelves.items()}
        return Wants([wants[pool] for pool, shelf in self.shelves.items() if shelf.is_due()], wants)

    def _committed(self, done: Committed) -> None:
        self.metrics.commit_seconds.observe(done.took_s)
        for kind, nano in done.saved:
            self.metrics.saved(kind, nano)
        claims = done.claims
        if claims is None:
            return
        self._limited(done)
        arrived = (self._arrived(row, claims.begun.get(row.pk)) for row in claims.rows)
        rows = [row for row in arrived if row is not None]
        for pool in claims.asked:
            shelf = self.shelves[pool]
            shelf.saw(claims.seen.get(pool, Seen()), pool in claims.more, claims.at)
            shelf.put(
                (row for row in rows if (row.provider, row.model) == pool),
                (slot for slot in claims.slots if (slot.provider, slot.model) == pool),
            )
            self._begin(shelf)

    def _limited(self, done: Committed) -> None:
        """Obey what the ledger says of limits, and look again when they change."""
        assert done.claims is not None
        limits = done.claims.limits
        self.gates.told(limits, done.claims.slots, done.took_s)
        self.gates.leaving = done.claims.leaving
        if limits is not None:
            wait_s = self.gates.changes_in()
            if limits.unseen:
                wait_s = min(_UNSEEN_S, wait_s or _UNSEEN_S)
            if self._waking is not None:
                self._waking.cancel()
            self._waking = None if wait_s is None else self._wake_in(wait_s)

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

    async def _work(self, shelf: Shelf, claim: Claimed, seat: Seat, early: Early | None = None) -> None:
        try:
            try:
                step = await self._run(claim, seat, early)
            except StoreError as error:
                step = _refused(claim, error)
            finally:
                freed = self._leave_seat(shelf, claim, seat)  # once: from here on the slot may be the next row's
            if early is not None and not early.taken:  # it ends without a call; so it will when it is run
                return
            self.metrics.queue_seconds.labels(LANE_NAMES[claim.lane]).observe(
                max(0.0, claim.leased_at - claim.accepted_at)
            )
            if claim.response == RESUMABLE:
                await self.poster.settle(claim)
            await self._record(claim, step, freed)
        finally:
            if self.tasks.get(claim.pk) is asyncio.current_task():  # a quick retry may have begun anew already
                del self.tasks[claim.pk]
            self.stopping.discard(claim.pk)
            self.returning.discard(claim.pk)
            if claim.streamed or claim.response == RESUMABLE:
                self.poster.forget(claim)

    async def _record(self, claim: Claimed, step: Step | None, freed: Slot | None) -> None:
        if step is None:
            if freed is not None:
                await self.writer.free([freed])
            return
        try:
            await self._finish(replace(step, free=freed))
        except StoreError as error:
            await self._finish(replace(_refused(claim, error), free=freed))

    async def _run(self, claim: Claimed, seat: Seat, early: Early | None) -> Step | None:
        """The row's next step. A cancelled task says what its open call cost."""
        past = await self.database.read(lambda conn: queries.past_calls(conn, claim)) if claim.attempts else []
        holder: list[LedgerCaller] = [] if early is None else early.holder
        tools = self.tools if early is None else replace(self.tools, commit=early.commit)
        if early is None:
            self.teller.callers[claim.pk] = holder
        try:
            return await task.run(claim, seat, past, tools, holder, None if early is None else early.read)
        except asyncio.CancelledError:
            if early is not None and not early.taken:
                raise
            if claim.pk not in self.stopping | self.returning and not self.draining:
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
            if holder and seat.slot is not None:
                self.shelves[claim.provider, claim.model].settle(claim, holder[0].used())

    async def land(self, claim: Claimed, landed: tiering.Landed) -> None:
        """Run a request with the answer that came back of the batch in which its call lay; it needs no slot for that."""
        past = await self.database.read(lambda conn: queries.past_calls(conn, claim))
        holder: list[LedgerCaller] = []
        try:
            step = await task.run(claim, Seat.none(), past, self.tools, holder, landed=landed)
        except StoreError as error:
            step = _refused(claim, error)
        await self._record(claim, step, None)

    async def give_up(self, step: Step) -> None:
        """A call that lay in a batch has ended otherwise."""
        await self._record(step.claim, step, None)

    def _interrupted(self, caller: LedgerCaller) -> Step:
        """We are leaving and the grace is over: a free call is given back. A paid one has broken off by our own hand, which is
        no death: its request says what follows.
        """
        if caller.claim.paid and caller.pending and caller.pending[-1][0].outcome == "wasted":
            self.metrics.ambiguous.inc()
            return task.cut_off(caller, metadata_of(caller.claim.value), self.tools)
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
        if self.gates.is_shared(shelf.pool):
            shelf.forget(slot)
            shelf.dirty = True
        self._start(shelf)
        if not self.draining and shelf.is_due():
            self.writer.claim_soon()
        if slot in shelf.idle:
            shelf.forget(slot)
            return slot
        return slot if slot not in shelf.busy else None

    async def _finish(self, step: Step) -> None:
        if isinstance(step.then, Move):
            await self._ready(step.then)
        stepped = await self.writer.step(step)
        if stepped.body is not None:  # whoever waits for it goes first
            self._tell_end(step.claim, stepped.body)
        self._count(step, stepped)
        if isinstance(step.then, Retry | Move):
            self._wake_in(step.then.delay_s if isinstance(step.then, Retry) else 0.0)
        for one in stepped.shared:
            self._count_shared(one)
            self._tell_end(one.claim, one.body)

    async def _ready(self, move: Move) -> None:
        """The pool that the row goes to has slots before anybody can look for rows in it."""
        while True:
            try:
                return await self.ensure_pool((move.provider, move.model))
            except Away:  # what happened to the row waits for the database too
                await asyncio.sleep(_AWAY_S)

    def _tell_end(self, claim: Claimed, body: bytes) -> None:
        for listener in self.on_end:
            listener(claim, body)

    def _count_shared(self, one: Shared) -> None:
        claim, status = one.claim, one.status.value
        self.metrics.requests.labels(claim.operation, status, LANE_NAMES[claim.lane]).inc()
        if one.status is Status.SUCCEEDED:
            self.metrics.saved(one.kind, one.saved_nano)
        log.debug("request ended with the one it followed", **task.ids(claim), status=status)

    def _wake_in(self, delay_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s + 0.005, self.look)

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
        if stepped.held:
            routed.count(m, step)
            tiering.count(m, step)
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
        """Abort calls that somebody has cancelled: the provider's connection is closed. Rows that wait for a slot go back,
        and end there. What is being recorded already is left alone.
        """
        for pk in pks:
            if pk in self.teller.callers and pk not in self.stopping:
                self.stopping.add(pk)
                self.tasks[pk].cancel()
            elif pk not in self.tasks:
                self._put_back(pk)

    def _return(self, pks: Iterable[int]) -> None:
        """The slots for which these were leased have gone from us: whoever has one may lease them."""
        for pk in pks:
            if pk not in self.tasks:
                self._put_back(pk)
            elif pk in self.seats and pk not in self.returning:
                self.returning.add(pk)
                asyncio.get_running_loop().call_soon(self._recall, pk)

    def _recall(self, pk: int) -> None:
        """A moment later: a task that is cancelled before its first step never runs, and its row would be held for ever."""
        if pk in self.seats and pk in self.returning:
            self.tasks[pk].cancel()
        else:
            self.returning.discard(pk)

    def _put_back(self, pk: int) -> None:
        for shelf in self.shelves.values():
            claim = shelf.drop(pk)
            if claim is not None:
                self._later(self._finish(Step(claim, then=Retry(0.0))))

    def holds(self) -> tuple[set[int], set[Slot]]:
        """Rows and slots that we know to be ours."""
        pks = set(self.tasks) | {pk for shelf in self.shelves.values() for pk in shelf.pks()}
        return pks, {slot for shelf in self.shelves.values() for slot in (*shelf.idle, *shelf.busy)}

    async def drain(self, grace_s: float) -> None:
        """No new work; running calls get `grace_s` seconds, then free ones are given back and paid ones count as broken."""
        self.draining = True
        for waiting in {self.tasks[pk] for pk in self.seats} | self.quotas.waiting:
            waiting.cancel()
        killpoint.passing("draining")
        running = [*self.tasks.values(), *self.earlies.tasks()]
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
