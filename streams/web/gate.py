"""The door is full: a new request is refused with 429 when too many of its lane wait, and told when to come again.

How many wait is looked up once a second beside the requests, never for one of them; what this process has taken since is added.
Only when that says full is the ledger asked whether the request is one that it knows: such a one is never refused.
"""

import asyncio
import math
import random
import time
from collections import Counter

from schemas.errors import ErrorType
from schemas.request import LANE_NAMES
from store.errors import StoreError
from store.ledger import backlog, queries
from store.ledger.types.arrivals import Ask
from streams import eta, queueing
from streams.spine import Spine
from streams.web.looker import FRESH_S, Looker
from streams.web.problems import Problem

LEAST_S, MOST_S = 1, 600
UNKNOWN_S = 10.0
"""What is told when nothing was measured."""
SPREAD = 0.5
"""Callers come again over so much of the time, not all at once."""
_ROOM = 10
"""They are told to come when a tenth of the window is free."""
_STALE_S = 3.0


def retry_after_s(seconds: float | None, chance: float) -> int:
    """Whole seconds, bounded. `chance`: uniform in [0, 1)."""
    told = (UNKNOWN_S if seconds is None else seconds) * (1 + SPREAD * chance)
    return min(MOST_S, max(LEAST_S, math.ceil(told)))


class Gate:
    """Each lane has a room of its own: a flood of batch refuses nothing urgent."""

    def __init__(self, window: int, looker: Looker) -> None:
        self._window, self._looker = window, looker
        self._waiting: dict[int, int] = {}
        self._taken: Counter[int] = Counter()
        self._looked_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    async def check(self, spine: Spine, what: Ask) -> None:
        """Raises `Problem` 429 when the lane is full and the request is a new one."""
        if what.failure is not None:  # answered at once; it takes no room
            return
        await self._look(spine)
        count = self._waiting.get(what.lane, 0) + self._taken[what.lane]
        if count < self._window:
            self._taken[what.lane] += 1
        elif not await self._is_known(spine, what):
            raise await self._full(spine, what.lane, count)

    async def _look(self, spine: Spine) -> None:
        """Beside the requests; only the first one after a pause waits for it."""
        age = time.monotonic() - self._looked_at
        if age > FRESH_S and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._count(spine), name="gate")
        if age > _STALE_S and self._task is not None:
            await self._task

    async def _count(self, spine: Spine) -> None:
        self._looked_at, before = time.monotonic(), self._taken
        self._taken = Counter()
        try:
            found = await spine.database.read(queries.waiting_by_lane)
        except StoreError:  # the door says so by itself
            self._taken += before
            return
        self._waiting = {lane: count for lane, (count, _) in found.items()}

    async def _is_known(self, spine: Spine, what: Ask) -> bool:
        try:
            return await spine.database.read(lambda conn: backlog.is_known(conn, what.tenant, what.operation, what.id))
        except StoreError:  # accepting it says so
            return True

    async def _full(self, spine: Spine, lane: int, count: int) -> Problem:
        spine.metrics.refused.labels(LANE_NAMES[lane]).inc()
        seconds = await self._until_room_s(spine, lane, count)
        again = retry_after_s(seconds, random.random())  # noqa: S311 - nothing secret hangs on it
        name = LANE_NAMES[lane]
        words = f"The lane {name} is full: {count} requests wait in it. Nothing was taken; come again in {again} s."
        return Problem(
            429,
            words,
            error=ErrorType.RATE_LIMITED,
            headers={"Retry-After": str(again)},
            lane=name,
            waiting=count,
            window=self._window,
        )

    async def _until_room_s(self, spine: Spine, lane: int, count: int) -> float | None:
        """Until a tenth of the window is free, by the pool that gets there first; None: nothing was measured."""
        try:
            states = queueing.pools(await self._looker.backlog(spine.database)).values()
        except StoreError:
            return None
        gone = count - self._window + max(1, self._window // _ROOM)
        found = [
            eta.drop_s(state.line, state.rate.per_s, lane, min(gone, state.line.count(lane)))
            for state in states
            if state.rate is not None and state.line.count(lane)
        ]
        return min(found, default=None)
