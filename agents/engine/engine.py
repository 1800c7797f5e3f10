"""The engine: takes what a claim got, begins what has a slot, commits what happened, hands the slot on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from agents.base import Operation
from agents.engine import task, tiering
from agents.engine.caller import LedgerCaller, Reads
from agents.engine.dispatch import Dispatch
from agents.engine.early import Earlies, Early
from agents.engine.later import later
from agents.engine.metrics import Metrics
from agents.engine.policy import Patience
from agents.engine.pools import Pools
from agents.engine.poster import Poster
from agents.engine.quotas import Bounds
from agents.engine.recalls import Recalls
from agents.engine.recording import Recording, ended_by
from agents.engine.seat import Seat
from agents.engine.shelf import Shelf
from agents.engine.teller import Teller
from agents.engine.tiers import Rules as TierRules
from prompts import Library
from providers.base import Provider
from providers.prices import PriceTable
from schemas.request import LANE_NAMES
from schemas.routes import guards
from store import killpoint
from store.database import Database
from store.ledger import queries
from store.ledger.answers import metadata_of
from store.ledger.opening import never_made
from store.ledger.order import Rules
from store.ledger.transaction import Committed, Wants
from store.ledger.types.arrivals import RESUMABLE, Accepted, Arrival, Ask
from store.ledger.types.claims import Claimed, Seen, Slot
from store.ledger.types.steps import Call, Retry, Step
from store.ledger.writer import Writer

_UNSEEN_S = 0.02
"""After so long a claim is made again that met a limit while another process held it: some commits' time."""


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
        self.draining = False
        self.readers: dict[tuple[str, str, str], Reads] = {}
        """By identity: who reads along while an answer is made. Whoever puts one here takes it away again."""
        self.poster = Poster(database)
        """To readers in other processes."""
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.seats: dict[int, Seat] = {}
        """Rows that have begun before their slot was there."""
        self.on_end: list[Callable[[Claimed, bytes], None]] = []
        self._waking: asyncio.TimerHandle | None = None
        """When the next pause ends, or the next door may be tried."""
        self.pools = Pools(
            writer, database, providers, metrics, bounds=limits.bounds, rules=limits.rules, look=self.look
        )
        self.tools = self._tools(operations, prices, library, limits, ensure, near)
        self.teller = Teller(database, writer.routes, limits.told_after_s)
        self.recording = Recording(writer, metrics, self.on_end, self.pools.ensure, self._wake_in)
        self.dispatch = Dispatch(writer, self.pools.gates, self.tasks, self.seats, self._work, lambda: self.draining)
        self.recalls = Recalls(self.tasks, self.seats, self.teller.callers, self.pools.shelves, self._put_back)
        self.earlies = Earlies(writer, self._room, self._begin_early)
        writer.wants, writer.holds = self._wants, self.holds
        writer.listeners.append(self._committed)

    def _tools(
        self,
        operations: dict[str, Operation],
        prices: PriceTable,
        library: Library,
        limits: Limits,
        ensure: Callable[[str], Awaitable[object]],
        near: Callable[[str], list[str]],
    ) -> task.Tools:
        return task.Tools(
            operations,
            self.providers,
            prices,
            library,
            self.writer.step,
            limits.patience,
            limits.timeout_s,
            self.pools.heard,
            self.pools.elsewhere,
            self.pools.allowed,
            self.pools.gpu_nodes,
            ensure,
            self._reads,
            near,
            limits.tiers,
            self.pools.hedging.of,
        )

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
        shelf = self.pools.shelves.get(pool)
        bounded = self.pools.bounds.of(pool).most() is not None
        return 0 if shelf is None or self.draining or bounded else shelf.spare()

    def _begin_early(self, early: Early) -> asyncio.Task[None]:
        shelf = self.pools.shelves[early.claim.provider, early.claim.model]
        return asyncio.create_task(self._work(shelf, early.claim, early.seat, early), name="early")

    def _arrived(self, row: Claimed, call: Call | None) -> Claimed | None:
        """A row that was leased; with its first `call` open it has begun already, unless nobody waits for it any more."""
        if call is None:
            return row
        early = self.earlies.find(call.id)
        if early is None:
            later(self.recording.finish(never_made(row, call)))
            return None
        self.tasks[row.pk], self.seats[row.pk] = early.task, early.seat
        self.teller.callers[row.pk] = early.holder
        if self.draining:
            early.task.cancel()
        return early.take(row)

    def _reads(self, claim: Claimed) -> Reads | None:
        if claim.response == RESUMABLE:  # told out of the ledger only, so that it is the same each time
            return self.poster.reads(claim)
        reader = self.readers.get((claim.tenant, claim.operation, claim.id))
        return self.poster.reads(claim) if reader is None and claim.streamed else reader

    def look(self) -> None:
        """Something may wait in the ledger that we have not seen: claim in the next transaction."""
        for shelf in self.pools.shelves.values():
            shelf.dirty = True
            if shelf.is_stranded():
                self.recalls.send_back(shelf.pks())
        self.writer.claim_soon()

    def _wants(self) -> Wants:
        return Wants() if self.draining else self.pools.wants()

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
            mine = [row for row in rows if (row.provider, row.model) == pool]
            slots = [slot for slot in claims.slots if (slot.provider, slot.model) == pool]
            if pool not in self.pools.shelves and not mine and not slots:  # let go of meanwhile
                continue
            shelf = self.pools.shelf(pool)
            shelf.saw(claims.seen.get(pool, Seen()), pool in claims.more, claims.at)
            shelf.put(mine, slots)
            self.dispatch.begin(shelf)

    def _limited(self, done: Committed) -> None:
        """Obey what the ledger says of limits, and look again when they change."""
        assert done.claims is not None
        limits = done.claims.limits
        self.pools.gates.told(limits, done.claims.slots, done.took_s)
        self.pools.gates.leaving = done.claims.leaving
        if limits is not None:
            wait_s = self.pools.gates.changes_in()
            if limits.unseen:
                wait_s = min(_UNSEEN_S, wait_s or _UNSEEN_S)
            if self._waking is not None:
                self._waking.cancel()
            self._waking = None if wait_s is None else self._wake_in(wait_s)

    async def _work(self, shelf: Shelf, claim: Claimed, seat: Seat, early: Early | None = None) -> None:
        try:
            try:
                step = await self._run(claim, seat, early)
            finally:
                freed = self.dispatch.leave_seat(
                    shelf, claim, seat
                )  # once: from here on the slot may be the next row's
            if early is not None and not early.taken:  # it ends without a call; so it will when it is run
                return
            self.metrics.queue_seconds.labels(LANE_NAMES[claim.lane]).observe(
                max(0.0, claim.leased_at - claim.accepted_at)
            )
            if claim.response == RESUMABLE:
                await self.poster.settle(claim)
            await self.recording.record(claim, step, freed)
        finally:
            if self.tasks.get(claim.pk) is asyncio.current_task():  # a quick retry may have begun anew already
                del self.tasks[claim.pk]
            self.recalls.forget(claim.pk)
            if claim.streamed or claim.response == RESUMABLE:
                self.poster.forget(claim)

    async def _run(self, claim: Claimed, seat: Seat, early: Early | None) -> Step | None:
        """The row's next step. A cancelled task says what its open call cost."""
        holder: list[LedgerCaller] = [] if early is None else early.holder
        tools = self.tools if early is None else replace(self.tools, commit=early.commit)
        if early is None:
            self.teller.callers[claim.pk] = holder
        try:
            past = await self.database.read(lambda conn: queries.past_calls(conn, claim)) if claim.attempts else []
            return await task.run(claim, seat, past, tools, holder, None if early is None else early.read)
        except asyncio.CancelledError:
            if early is not None and not early.taken:
                raise
            if claim.pk not in self.recalls.stopping | self.recalls.returning and not self.draining:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            if not holder:
                return Step(claim, then=Retry(0.0))
            if claim.pk in self.recalls.stopping:
                return task.stopped(holder[0], metadata_of(claim.value))
            return self._interrupted(holder[0])
        except Exception as error:  # noqa: BLE001 - whatever it was, the request has an end
            return ended_by(claim, error, holder)
        finally:
            if self.teller.callers.get(claim.pk) is holder:
                del self.teller.callers[claim.pk]
            if holder and seat.slot is not None:
                self.pools.shelves[claim.provider, claim.model].settle(claim, holder[0].books.used())

    async def land(self, claim: Claimed, landed: tiering.Landed) -> None:
        """Run a request with the answer that came back of the batch in which its call lay; it needs no slot for that."""
        holder: list[LedgerCaller] = []
        try:
            past = await self.database.read(lambda conn: queries.past_calls(conn, claim))
            step = await task.run(claim, Seat.none(), past, self.tools, holder, landed=landed)
        except Exception as error:  # noqa: BLE001 - as above
            step = ended_by(claim, error, holder)
        await self.recording.record(claim, step, None)

    async def give_up(self, step: Step) -> None:
        """A call that lay in a batch has ended otherwise."""
        await self.recording.record(step.claim, step, None)

    def _interrupted(self, caller: LedgerCaller) -> Step:
        """We are leaving and the grace is over: a free call is given back. A paid one has broken off by our own hand, which is
        no death: its request says what follows.
        """
        pending = caller.books.pending
        if caller.claim.paid and pending and pending[-1][0].outcome == "wasted":
            self.metrics.ambiguous.inc()
            return task.cut_off(caller, metadata_of(caller.claim.value), self.tools)
        return Step(caller.claim, caller.books.kept(), then=Retry(0.0))

    def _wake_in(self, delay_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s + 0.005, self.look)

    def _put_back(self, claim: Claimed) -> None:
        later(self.recording.finish(Step(claim, then=Retry(0.0))))

    def holds(self) -> tuple[set[int], set[Slot]]:
        """Rows and slots that we know to be ours."""
        pks = set(self.tasks) | {pk for shelf in self.pools.shelves.values() for pk in shelf.pks()}
        return pks, {slot for shelf in self.pools.shelves.values() for slot in (*shelf.idle, *shelf.busy)}

    async def drain(self, grace_s: float) -> None:
        """No new work; running calls get `grace_s` seconds, then free ones are given back and paid ones count as broken."""
        self.draining = True
        for waiting in {self.tasks[pk] for pk in self.seats} | self.pools.quotas.waiting:
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
