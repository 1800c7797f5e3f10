"""Calls that wait for a provider's batch: gathered, handed over, looked after, taken back, by whichever process holds them.

Nothing is handed over twice: that a batch is about to leave is committed first, and whoever finds it so, after a death or an
answer that never came, asks the provider for it before anything else. Only when the provider has not had it for `settle_s`
after the last try is it handed over again; a try never takes half as long as that.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import structlog

from agents.engine import policy, tiering
from agents.engine.engine import Engine
from providers.batches import Batches, Forgotten, Parcel, Returned, Standing
from providers.errors import Broken, NotRun, Overloaded, ProviderError, RateLimited, Unreachable
from schemas.errors import ErrorType
from store import killpoint
from store.database import Database, now
from store.errors import StoreError
from store.ledger import batches, parked
from store.ledger.batches import Batch, Gathering
from store.ledger.parked import Landing
from store.ledger.types.records import Routes
from store.ledger.types.steps import Closing, Retry, Step

log = structlog.get_logger(__name__)

AT_ONCE = 64
"""So many answers are taken together."""
_TICK_S = 5.0
_AGAIN = policy.Patience(base_s=5.0, cap_s=600.0)
"""How long a provider is left alone that could not be asked."""
_PASSES = (Unreachable, Overloaded, RateLimited)
"""Refusals of a batch after which it is worth another try; any other would be the same again."""
_TRIES = 8
"""So often one after the other; with the pauses between them, about half an hour."""
_SHARE = 20
"""Of the time to its deadline a call waits at most one in so many before it is asked for again."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: `gather_s` waits the first call for others to go with it, `poll_s` are between two looks at a batch, `settle_s` may pass
    until a batch shows up at its provider. `most`: so many calls go without waiting.
    """

    gather_s: float = 30.0
    most: int = 5000
    poll_s: float = 60.0
    settle_s: float = 300.0


class Batcher:
    """One process's. `start` and `aclose` belong to whoever made it."""

    def __init__(self, engine: Engine, database: Database, routes: Routes, worker: str, pace: Pace) -> None:
        self.engine, self.database, self.routes, self.worker, self.pace = engine, database, routes, worker, pace
        self._due: dict[str, float] = {}
        """By batch: when it is looked at next, by the monotonic clock."""
        self._failed: dict[str, int] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._there = {
            name: there for name, each in engine.providers.items() if (there := tiering.batches_of(each)) is not None
        }

    def start(self) -> None:
        """Nothing is done where no provider has batches."""
        if self._there:
            self._task = asyncio.create_task(self._run(), name="batcher")

    async def aclose(self) -> None:
        """What was begun is given up; another process goes on with it, as after a death."""
        tasks = [each for each in (self._task, *self._busy.values()) if each is not None]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        tick_s = min(_TICK_S, max(0.05, min(self.pace.gather_s, self.pace.poll_s) / 2))
        while True:
            try:
                await self._once()
            except StoreError as error:
                log.debug("batches are not looked after now", error=str(error))
            await asyncio.sleep(tick_s)

    async def _once(self) -> None:
        if not await self.database.read(batches.is_any):
            return
        if off := await self.database.write(lambda conn: parked.call_off(conn, self.routes)):
            log.info("requests were cancelled whose calls lay in batches", count=off)
        await self.database.write(lambda conn: batches.gather(conn, self.worker, self._gatherings()))
        mine = await self.database.write(lambda conn: batches.take(conn, self.worker, list(self._there)))
        self._due = {batch.id: self._due.get(batch.id, 0.0) for batch in mine}
        for batch in mine:
            if batch.id not in self._busy and time.monotonic() >= self._due[batch.id]:
                self._begin(batch)

    def _gatherings(self) -> Mapping[str, Gathering]:
        pace = self.pace
        return {
            name: Gathering(min(pace.most, there.bounds.items), there.bounds.bytes, pace.gather_s)
            for name, there in self._there.items()
        }

    def _begin(self, batch: Batch) -> None:
        self._busy[batch.id] = asyncio.create_task(self._care(batch), name=batch.id)
        self._busy[batch.id].add_done_callback(lambda _: self._busy.pop(batch.id, None))

    async def _care(self, batch: Batch) -> None:
        """One look at a batch, and when the next one is."""
        wait_s = self.pace.poll_s
        try:
            if batch.node not in self.engine.providers[batch.provider].nodes():
                log.warning(
                    "a batch lies at a server that this process does not know", **_named(batch), node=batch.node
                )
            elif batch.state == "gathered":
                wait_s = await self._hand_over(batch)
            else:
                await self._look(batch)
            self._failed.pop(batch.id, None)
        except (ProviderError, StoreError) as error:
            times = self._failed[batch.id] = self._failed.get(batch.id, 0) + 1
            wait_s = min(wait_s, error.retry_after_s or wait_s) if isinstance(error, ProviderError) else wait_s
            wait_s = max(wait_s, policy.backoff(times, _AGAIN, policy.jitter()) if times > 1 else 0.0)
            log.warning("a batch could not be looked after; it is tried again", **_named(batch), error=str(error))
        except Exception:
            log.exception("a batch met what is not known; it is tried again", **_named(batch))
        self._due[batch.id] = time.monotonic() + wait_s

    # ---- handing over

    async def _hand_over(self, batch: Batch) -> float:
        """When to look again, in seconds."""
        there = self._there[batch.provider]
        if batch.first_sent_at is not None:
            if (found := await self._find(batch, there)) is not None:
                self._count(batch, "found")
                await self._sent(batch, found)
                return self.pace.poll_s
            waited = await self.database.read(now) - (batch.sent_at or batch.first_sent_at)
            if waited < self.pace.settle_s:
                return min(self.pace.poll_s, self.pace.settle_s - waited)
        if await self._is_late(batch):
            await self._return_all(batch, "it could not be handed over in time")
            return 0.0
        if batch.first_sent_at is None:
            killpoint.passing("gathered")
        until = asyncio.get_running_loop().time() + self.pace.settle_s / 2
        items = await self.database.write(lambda conn: batches.sending(conn, self.routes, batch))
        if items is None:
            return 0.0
        if not items:
            await self.database.write(lambda conn: batches.ended(conn, batch, "nobody wanted it any more"))
            return 0.0
        return await self._submit(batch, there, _parcel(batch, items), until)

    async def _submit(self, batch: Batch, there: Batches, parcel: Parcel, until: float) -> float:
        """`until`, of the loop's clock: a process that stood still may find the batch in other hands."""
        if asyncio.get_running_loop().time() >= until:
            log.warning("this process stood still; a batch is looked for before it is handed over", **_named(batch))
            return min(self.pace.poll_s, self.pace.settle_s)
        killpoint.soon("handing_over")
        try:
            async with asyncio.timeout_at(until):
                standing = await there.submit(parcel, batch.node, self.pace.settle_s / 2)
        except NotRun as error:  # surely not there: neither does anybody look for it
            why = str(error)
            await self.database.write(lambda conn: batches.not_sent(conn, batch, why))
            self._count(batch, "refused")
            if not isinstance(error, _PASSES) or self._failed.get(batch.id, 0) >= _TRIES:
                await self._return_all(batch, f"the provider refused its batch: {error}")
                return 0.0
            raise
        except (Broken, TimeoutError) as error:
            log.warning("a batch may have been handed over; it is looked for", **_named(batch), error=str(error))
            return min(self.pace.poll_s, self.pace.settle_s)
        killpoint.passing("handed_over")
        self._count(batch, "sent")
        await self._sent(batch, standing)
        return self.pace.poll_s

    async def _find(self, batch: Batch, there: Batches) -> Standing | None:
        """The batch as the provider has it; where it has it twice, one of them is stopped."""
        assert batch.first_sent_at is not None
        since = batch.first_sent_at
        parcel = _parcel(batch, await self.database.read(lambda conn: batches.parcel_of(conn, batch)))
        known = await self.database.read(lambda conn: batches.known(conn, batch.provider))
        found = await there.find(parcel, since, batch.node)
        free = [each for each in found if each.id not in known | batch.not_these]
        for again in [each for each in free if each.proven][1:]:
            log.error("a provider has a batch twice; the later one is stopped", **_named(batch), remote=again.id)
            await there.stop(again.id, batch.node)
        return next(iter(free), None)

    async def _sent(self, batch: Batch, standing: Standing) -> None:
        proven = standing.proven
        if await self.database.write(lambda conn: batches.sent(conn, batch, standing.id, proven=proven)):
            log.info("a batch is at its provider", **_named(batch), remote=standing.id, calls=batch.items)

    # ---- looking after

    async def _look(self, batch: Batch) -> None:
        there, remote = self._there[batch.provider], batch.remote_id or ""
        try:
            standing = await there.look(remote, batch.node)
        except Forgotten:
            log.warning("a provider does not know a batch any more", **_named(batch), remote=remote)
            return await self._lost(batch)
        if standing.ended:
            return await self._take_back(batch, there, replace(standing, proven=batch.proven))
        return await self._hurry(batch, there)

    async def _hurry(self, batch: Batch, there: Batches) -> None:
        """Stop it when its calls must be asked for elsewhere, or when nobody waits for any of them."""
        is_late = await self._is_late(batch)
        if not batch.proven:  # it may be somebody else's
            if is_late:
                await self._lost(batch)
            return
        if batch.stopped_at is not None:
            return
        if is_late or not await self.database.read(lambda conn: batches.wanted(conn, batch)):
            await there.stop(batch.remote_id or "", batch.node)
            await self.database.write(lambda conn: batches.stopped(conn, batch))
            self._count(batch, "stopped")
            log.info("a batch was stopped", **_named(batch), late=is_late)

    async def _is_late(self, batch: Batch) -> bool:
        return batch.due_at is not None and await self.database.read(now) >= batch.due_at

    # ---- taking back

    async def _take_back(self, batch: Batch, there: Batches, standing: Standing) -> None:
        try:
            found = {each.id: each for each in await there.results(standing, batch.node)}
        except Forgotten:
            return await self._lost(batch)
        ids = await self.database.read(lambda conn: batches.open_calls(conn, batch))
        if not standing.proven:
            items = await self.database.read(lambda conn: batches.parcel_of(conn, batch))
            if not any(id_ in found for id_, _ in items):
                log.info("a batch at the provider was somebody else's", **_named(batch), remote=standing.id)
                await self.database.write(lambda conn: batches.mistaken(conn, batch))
                return None
            await self.database.write(lambda conn: batches.proved(conn, batch))
        killpoint.passing("returned")
        why = standing.why or "the provider ended its batch without running it"
        await self._back([found.get(id_) or Returned(id_, None, why) for id_ in ids])
        if await self._close(batch, standing.why):
            await self._tidy(batch, there, standing)
        return None

    async def _tidy(self, batch: Batch, there: Batches, standing: Standing) -> None:
        try:
            await there.tidy(standing, batch.node)
        except (ProviderError, Forgotten) as error:
            log.info("what a provider keeps of a batch was not taken away", **_named(batch), error=str(error))

    async def _lost(self, batch: Batch) -> None:
        """Nobody knows what became of it: each call may have been paid, and each request says what follows."""
        self._count(batch, "lost")
        ids = await self.database.read(lambda conn: batches.open_calls(conn, batch))
        for part in _parts(ids):
            found = await self.database.read(lambda conn: parked.landing(conn, part))  # noqa: B023 - awaited here
            self.engine.metrics.ambiguous.inc(sum(1 for each in found.values() if each.live))
            await _all(self._land(each, None) for each in found.values())
        await self._close(batch, "the provider does not know it any more")

    async def _return_all(self, batch: Batch, why: str) -> None:
        ids = await self.database.read(lambda conn: batches.open_calls(conn, batch))
        await self._back([Returned(id_, None, why) for id_ in ids])
        await self._close(batch, why)

    async def _back(self, returned: Sequence[Returned]) -> None:
        for part in _parts(returned):
            ids = [each.id for each in part]
            found = await self.database.read(lambda conn: parked.landing(conn, ids))  # noqa: B023 - awaited here
            known = [(found[each.id], each) for each in part if each.id in found]
            await _all(self._one(landing, each) for landing, each in known)

    async def _one(self, landing: Landing, returned: Returned) -> None:
        if returned.body is not None:
            await self._land(landing, returned.body)
            return
        closing = Closing(
            landing.call, "error", event=False, error_type=ErrorType.OVERLOADED.value, error=returned.why[:500]
        )
        then = Retry(self._delay_s(landing)) if landing.live else None
        await self.engine.give_up(Step(landing.claim, (closing,), then=then))

    def _delay_s(self, landing: Landing) -> float:
        """Until it is asked for again: a batch that failed as a whole would fail again at once."""
        claim = landing.claim
        delay_s = self.engine.tools.patience.cap_s * 2.0 ** min(claim.attempts, 6) * policy.jitter()
        return delay_s if claim.deadline is None else min(delay_s, max(0.0, claim.deadline - claim.at) / _SHARE)

    async def _land(self, landing: Landing, body: bytes | None) -> None:
        claim = landing.claim
        landed = tiering.landed(landing.call, body, landing.opened_at, claim.at)
        if landing.live:
            await self.engine.land(claim, landed)
            return
        closing = tiering.unwanted(landed, self.engine.providers[claim.provider], self.engine.tools.prices, claim)
        await self.engine.give_up(Step(claim, (closing,)))

    async def _close(self, batch: Batch, why: str) -> bool:
        """Once each of its calls is closed."""
        if left := await self.database.read(lambda conn: batches.open_calls(conn, batch)):
            log.warning("calls of a batch are still open; it is looked at again", **_named(batch), calls=len(left))
            return False
        log.info("a batch has ended", **_named(batch), why=why or None)
        self._count(batch, "ended")
        return await self.database.write(lambda conn: batches.ended(conn, batch, why))

    def _count(self, batch: Batch, event: str) -> None:
        self.engine.metrics.batches.labels(batch.provider, event).inc()


def _parcel(batch: Batch, items: Sequence[tuple[str, bytes]]) -> Parcel:
    return Parcel(batch.id, batch.model, batch.kind, items)


def _named(batch: Batch) -> dict[str, Any]:
    return {"batch": batch.id, "provider": batch.provider, "model": batch.model}


def _parts(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE)]


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Side by side, so that they share commits; the first error once all have ended."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
