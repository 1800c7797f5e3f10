"""One writer per process: whatever waits goes into one short transaction, again and again.

No added wait when idle, big batches under load. While the database is away everything waits here: nobody upstream is
told 'done', so intake does not ack and no call begins.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from sqlalchemy import Connection, or_, select

from schemas.errors import ErrorType, Failure
from store import killpoint, rows
from store.database import Database
from store.errors import Away, BadData, Met
from store.ledger import crowding, joining, opening, supersede
from store.ledger.accept import accept
from store.ledger.budgeting import Known
from store.ledger.claim import Claims, claim
from store.ledger.life import give_back
from store.ledger.limits import learn
from store.ledger.news import notify
from store.ledger.outgoing import mark
from store.ledger.purse import Purse
from store.ledger.step import free_slots, take_steps
from store.ledger.throttle import Heard
from store.ledger.types.arrivals import Accepted, Arrival, Ask, CancelAsk, First, Unreadable
from store.ledger.types.claims import Pool, Slot, Want
from store.ledger.types.records import Routes
from store.ledger.types.steps import Step, Stepped
from store.tables import requests

log = structlog.get_logger(__name__)

MAX_BATCH = 1000
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 1.0
_MAX_MEETINGS = 5
_INTENTS_FIRST_S = 0.025
"""So long do answers, marks and arrivals give way to intents when both wait."""
_SILENT = frozenset({"accepted", "again", "redelivered", "crowded"})
"""Arrivals that put nothing into the outbox."""


@dataclass(slots=True)
class _Item:
    """One thing that waits: some arrivals, a step, or marks."""

    future: "asyncio.Future[Any]"
    arrivals: Sequence[Arrival] = ()
    step: Step | None = None
    marks: Sequence[int] = ()
    frees: Sequence[Slot] = ()
    audit: bool = False
    heard: Sequence[Heard] = ()

    since: float = field(default_factory=time.monotonic)

    def weight(self) -> int:
        return max(len(self.arrivals), len(self.marks), 1)

    def is_intent(self) -> bool:
        return self.step is not None and self.step.opens is not None

    def settle(self, answer: Any) -> None:
        """Whoever asked may have gone meanwhile."""
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction changed, for whoever waits for it. `ended`: rows that are terminal or wait again."""

    accepted: int = 0
    """Rows that wait now."""
    published: bool = False
    """Something may have been put into the outbox."""
    ended: tuple[int, ...] = ()
    claims: Claims | None = None
    cancels: bool = False
    """Somebody may have to abort a call."""
    took_s: float = 0.0
    items: int = 0
    saved: tuple[tuple[str, int], ...] = ()
    """Of each request that got another one's answer, by which way, and what its calls would have cost."""


@dataclass(slots=True)
class Health:
    """Whether the ledger can be written, why not, and since when (seconds since 1970)."""

    ok: bool = True
    why: str = ""
    since: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Wants:
    """What the engine could use: `due` in any case, `new` of the pools for which this very transaction accepts rows."""

    due: Sequence[Want] = ()
    new: Mapping[Pool, Want] = field(default_factory=dict)

    def after(self, accepted: Iterable[Pool]) -> list[Want]:
        """What to claim once rows of these pools were accepted."""
        due = {want.pool: want for want in self.due}
        return list({**due, **{pool: self.new[pool] for pool in accepted if pool in self.new}}.values())


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
        self._waiting: list[_Item] = []
        self._wake = asyncio.Event()
        self._claim = False
        self._batch: list[_Item] = []
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
        return list(await self._submit(_Item(_future(), arrivals=arrivals)))

    async def step(self, step: Step) -> Stepped:
        """Returned means committed: after an intent the call's first byte may leave."""
        found: Stepped = await self._submit(_Item(_future(), step=step))
        return found

    async def mark(self, pks: Sequence[int]) -> None:
        """These records of the outbox were published."""
        await self._submit(_Item(_future(), marks=pks))

    async def free(self, slots: Sequence[Slot]) -> None:
        """Give slots back that no row of ours can use."""
        await self._submit(_Item(_future(), frees=slots))

    def learn(self, heard: Heard) -> None:
        """What a call showed of its provider, for all processes; in the order in which it is said, before what is said next."""
        item = _Item(_future(), heard=[heard])
        item.future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(item)
        self._wake.set()

    async def audit(self) -> int:
        """Give back rows and slots that the ledger says are ours and `holds` does not know; how many there were.

        In the writer's own order, so that whatever an earlier commit brought us is known by now.
        """
        found: int = await self._submit(_Item(_future(), audit=True))
        return found

    def claim_soon(self) -> None:
        """Ask `wants` in the next transaction."""
        self._claim = True
        self._wake.set()

    async def _submit(self, item: _Item) -> Any:
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

    def _next(self) -> tuple[list[_Item], bool]:
        """Intents go before whatever else waits, for a while: behind each a slot stands idle."""
        intents = [item for item in self._waiting if item.is_intent()]
        others = [item for item in self._waiting if not item.is_intent()]
        if intents and others and time.monotonic() - others[0].since < _INTENTS_FIRST_S:
            cut = _cut(intents, MAX_BATCH)
            self._waiting = intents[cut:] + others
            return intents[:cut], True
        self._claim = False
        cut = _cut(self._waiting, MAX_BATCH)
        batch, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return batch, False

    async def _commit(self, batch: list[_Item], *, claims: bool = True) -> None:
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

    async def _patiently(self, batch: list[_Item], *, claims: bool) -> tuple[list[Any], Committed]:
        """Again and again while the database is away."""
        wait, meetings = _FIRST_WAIT_S, 0
        while True:
            try:
                wants, holds = self.wants() if claims else Wants(), self.holds()
                done = await self.database.write(lambda conn: self._apply(conn, batch, wants, holds))  # noqa: B023 - awaited here
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

    async def _halve(self, batch: list[_Item], error: Exception) -> None:
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
        elif item.arrivals and (instead := _refused(item.arrivals[0], error)) is not None:
            log.warning("the database refuses a value", error=type(error).__name__, **_ids(item.arrivals[0]))
            parts = [[instead]]
        else:
            item.fail(error)
            return
        halves = [_Item(_future(), arrivals=part) for part in parts]
        for half in halves:
            await self._commit([half], claims=False)
        failed = [broken for half in halves if (broken := half.future.exception()) is not None]
        if failed:
            item.fail(failed[0])
        else:
            item.settle([answer for half in halves for answer in half.future.result()])

    def _apply(
        self, conn: Connection, batch: Sequence[_Item], wants: Wants, holds: tuple[set[int], set[Slot]]
    ) -> tuple[list[Any], Committed]:
        steps = [item.step for item in batch if item.step is not None]
        arrivals = [arrival for item in batch for arrival in item.arrivals]
        crowding.lock(conn, arrivals)
        purse = Purse(conn, self.known, arrivals, steps)
        if unsure := [a.first.call for a in arrivals if a.first and a.first.unsure and a.first.call]:
            opening.undo(conn, self.routes, self.worker, unsure)
        _lock(conn, steps, arrivals)
        # arrivals first: a row that another writer made since `_lock` is waited for before the books are locked, not behind
        accepted = accept(conn, self.routes, arrivals, purse) if arrivals else []
        took = take_steps(conn, self.routes, self.worker, steps, purse) if steps else []
        purse.close()
        stepped = iter(took)
        mark(conn, [pk for item in batch for pk in item.marks])
        freed = [slot for item in batch for slot in item.frees]
        free_slots(conn, self.worker, freed)
        freed += [step.free for step in steps if step.free is not None]
        learn(conn, [heard for item in batch for heard in item.heard], freed)
        given_back = give_back(conn, self.worker, *holds) if any(item.audit for item in batch) else 0
        new = [
            arrival.what
            for arrival, found in zip(arrivals, accepted, strict=True)
            if found.decision in {"accepted", "again"}
        ]
        saved = tuple(
            ("exact" if found.decision == "cached" else "key", found.saved_nano)
            for found in accepted
            if found.saved_nano is not None
        )
        pools = {(ask.provider, ask.model) for ask in new if isinstance(ask, Ask)}
        wanted = wants.after(pools.union(*(each.woken for each in took)))
        claims = claim(conn, self.routes, self.worker, wanted) if wanted else None
        if claims is not None and (firsts := _firsts(arrivals, accepted)):
            claims = opening.open_first(conn, firsts, wanted, claims)
        answers: list[Any] = []
        at = 0
        for item in batch:
            if item.step is not None:
                answers.append(next(stepped))
            elif item.arrivals:
                answers.append(accepted[at : at + len(item.arrivals)])
                at += len(item.arrivals)
            else:
                answers.append(given_back if item.audit else None)
        ended = tuple(
            item.step.claim.pk
            for item, answer in zip(batch, answers, strict=True)
            if item.step is not None and item.step.then is not None and answer.held
        )
        cancels = any(found.decision == "cancelled" for found in accepted)
        if conn.dialect.name != "sqlite" and (accepted or ended):
            notify(conn, self.worker, cancels=cancels)
        published = (
            any(found.decision not in _SILENT for found in accepted)
            or any(step.closings or step.then is not None for step in steps)
            or (claims is not None and claims.ended)
        )
        return answers, Committed(len(new), published, ended, claims, cancels, items=len(batch), saved=saved)

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


def _lock(conn: Connection, steps: Sequence[Step], arrivals: Sequence[Arrival]) -> None:
    """All known rows of this batch in one order, before anything else is locked: writers never wait in a ring."""
    if conn.dialect.name == "sqlite" or not arrivals:
        return
    keys = supersede.keys_of(arrivals)
    if keys:
        supersede.lock(conn, keys)
    named = [a.what for a in arrivals if isinstance(a.what, Ask | CancelAsk)]
    identities = {
        rows.identity(w.tenant, w.operation, w.id) for w in named if w.operation is not None and w.id is not None
    }
    waited_for = joining.rows_waited_for(arrivals, flights=bool(steps))
    if keys:
        waited_for.append(supersede.standing(keys))
    if not steps and not waited_for:  # then one statement alone locks rows, in its own order
        return
    wanted = [requests.c.identity.in_(rows.padded(identities)), *waited_for]
    if steps:
        wanted.append(requests.c.pk.in_(rows.padded({step.claim.pk for step in steps})))
    conn.execute(select(requests.c.pk).where(or_(*wanted)).order_by(requests.c.pk).with_for_update()).all()


def _firsts(arrivals: Sequence[Arrival], accepted: Sequence[Accepted]) -> dict[int, First]:
    """Of rows that are new in this transaction, the calls with which they begin."""
    return {
        found.pk: arrival.first
        for arrival, found in zip(arrivals, accepted, strict=True)
        if arrival.first is not None and found.pk is not None and found.decision in {"accepted", "again"}
    }


def _nothing() -> tuple[set[int], set[Slot]]:
    return set(), set()


def _future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


def _cut(items: Sequence[_Item], weight: int) -> int:
    total = 0
    for i, item in enumerate(items):
        total += item.weight()
        if total >= weight:
            return i + 1
    return len(items)


def _refused(arrival: Arrival, error: Exception) -> Arrival | None:
    """What is kept instead of an arrival that the database refuses: a failed request if its name can be kept, else a
    dead letter; None: not even that can.
    """
    what = arrival.what
    words = f"the database cannot keep this request: {rows.plain(str(error))}"
    failure = Failure(
        type=ErrorType.INVALID_REQUEST if isinstance(error, BadData) else ErrorType.INTERNAL, message=words
    )
    if isinstance(what, Ask) and what.failure is None and _kept((what.tenant, what.operation, what.id)):
        asked = Ask(what.tenant, what.operation, what.id, what.payload_hash, failure=failure)
        return replace(arrival, what=asked)
    return None if isinstance(what, Unreadable) else replace(arrival, what=Unreadable(failure))


def _ids(arrival: Arrival) -> dict[str, str]:
    """What its line in the log is told by; what the database said may quote the value itself, and is not logged."""
    what, at = arrival.what, arrival.position
    named = {"request_id": what.id, "tenant": what.tenant} if isinstance(what, Ask) else {}
    return named | ({} if at is None else {"place": f"{at.topic}/{at.partition}/{at.offset}"})


def _kept(names: Iterable[str]) -> bool:
    return all(rows.plain(name) == name for name in names)
