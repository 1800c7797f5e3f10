"""A second call beside one that takes long: the first answer counts, and the other call is given up.

It is made after a percentile of what calls of the same operation and model took lately, in a slot that nobody waits for, at
another node where there is one. Only requests of a route that asks for it; of a paid model only where the route allows that.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from agents.engine.gates import Gates
from agents.engine.shelf import Shelf
from providers.base import Provider
from schemas.routes import Hedge, Pinned
from store.database import Database
from store.errors import StoreError
from store.ledger import spare
from store.ledger.types.claims import Claimed, Pool, Slot

log = structlog.get_logger(__name__)
LEAST = 20
"""After fewer calls nobody knows what is long."""
KEPT = 200
T = TypeVar("T")


def percentile(took: Collection[float], share: float) -> float | None:
    """So many percent of the calls took no longer; None: they are too few to say."""
    if len(took) < LEAST:
        return None
    return sorted(took)[max(0, math.ceil(share / 100 * len(took)) - 1)]


def wish(claim: Claimed) -> Hedge | None:
    """What its route says, where it concerns this model."""
    if claim.route is None or '"hedge"' not in claim.route:
        return None
    found = Pinned.model_validate_json(claim.route).hedge
    return None if found is None or (claim.paid and not found.paid) else found


async def race(first: Callable[[], Awaitable[T]], after_s: float, second: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer of the two; `second` begins when `first` takes longer, and None of it is no answer. When neither has one,
    the first one's error. Whatever still runs then has ended when this returns.
    """
    one = asyncio.ensure_future(first())
    tasks: list[asyncio.Future[Any]] = [one]
    try:
        await asyncio.wait(tasks, timeout=after_s)
        if not one.done():
            tasks.append(asyncio.ensure_future(second()))
        running = set(tasks)
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and task.exception() is None and task.result() is not None:
                    answer: T = task.result()
                    return answer
        failed: T = one.result()  # it raises
        return failed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Hedger:
    """One request's. `take`: a slot for the second call, given the node of the first; `saw`: how long a call took at least that
    was given up, so that the long ones are not forgotten.
    """

    after_s: float
    take: Callable[[str], Awaitable[Slot | None]]
    free: Callable[[Slot], None]
    saw: Callable[[float], None]


class Hedging:
    """One process's: how long calls take, and the slots of second ones."""

    def __init__(
        self,
        database: Database,
        worker: str,
        providers: Mapping[str, Provider],
        shelves: Mapping[Pool, Shelf],
        gates: Gates,
        give: Callable[[Slot], None],
    ) -> None:
        """`give`: back to everybody."""
        self._database, self._worker, self._providers = database, worker, providers
        self._shelves, self._gates, self._give = shelves, gates, give
        self._took: dict[tuple[Pool, str], deque[float]] = {}

    def saw(self, claim: Claimed, took_s: float) -> None:
        """A call was answered, or took longer than this."""
        key = ((claim.provider, claim.model), claim.operation)
        self._took.setdefault(key, deque(maxlen=KEPT)).append(took_s)

    def forget(self, pool: Pool) -> None:
        """How long its calls took."""
        for key in [key for key in self._took if key[0] == pool]:
            del self._took[key]

    def of(self, claim: Claimed) -> Hedger | None:
        """None: no call of this request gets a second one beside it."""
        if (wanted := wish(claim)) is None:
            return None
        took = self._took.get(((claim.provider, claim.model), claim.operation), ())
        after_s = percentile(took, wanted.percentile)
        if after_s is None:
            return None
        return Hedger(
            after_s,
            lambda node: self._take(claim, node),
            lambda slot: self._free(claim, slot),
            lambda took_s: self.saw(claim, took_s),
        )

    async def _take(self, claim: Claimed, node: str) -> Slot | None:
        """Known to be ours before it is: whoever looks for slots that we know nothing of finds none."""
        pool = (claim.provider, claim.model)
        closed = self._gates.closed(pool, self._providers[claim.provider].nodes())
        if pool in self._gates.pools:  # its provider is at its limit
            return None
        busy, slot, is_ours = self._shelves[pool].busy, None, False
        try:
            slot = await self._database.read(lambda conn: spare.find(conn, pool, node, closed))
            if slot is None or slot in busy:
                return None
            taken = slot
            busy.add(slot)
            is_ours = await self._database.write(lambda conn: spare.take(conn, self._worker, taken))
        except StoreError as error:
            log.debug("no second call is made now", error=str(error))
        finally:
            if slot is not None and not is_ours:
                busy.discard(slot)
        return slot if is_ours else None

    def _free(self, claim: Claimed, slot: Slot) -> None:
        self._shelves[claim.provider, claim.model].busy.discard(slot)
        self._give(slot)
