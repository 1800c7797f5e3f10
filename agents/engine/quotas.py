"""Requests and tokens a minute, where a setting bounds them: each process borrows blocks of the minute from the ledger.

A call counts when it is about to leave, by its upper estimate; whatever is left of a block ends with its minute. A call that
is larger than a whole minute's tokens takes the whole minute.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from store.ledger.quotas import Lent, Most
from store.ledger.types.claims import Pool

BLOCKS = 10
"""A minute has so many: few statements, and what a process leaves unused is little."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What the settings say of a pool. `concurrency`: calls at a time, over all processes."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None

    def most(self) -> Most | None:
        """What a minute may see; None: as much as there is."""
        return None if self.rpm is None and self.tpm is None else Most(self.rpm, self.tpm)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`provider/model`, else `provider/*`, which bounds each of its models by itself."""

    entries: Mapping[str, Bound] = field(default_factory=dict)

    def of(self, pool: Pool) -> Bound:
        """What bounds this pool."""
        provider, model = pool
        found = self.entries.get(f"{provider}/{model}") or self.entries.get(f"{provider}/*")
        return found or Bound()


def spread(slots: Sequence[int], most: int | None) -> list[int]:
    """The nodes' slots, at most so many together, one from each in turn."""
    if most is None or sum(slots) <= most:
        return list(slots)
    left, given = most, [0] * len(slots)
    while left > 0:
        for i, count in enumerate(slots):
            if left > 0 and given[i] < count:
                given[i] += 1
                left -= 1
    return given


@dataclass(slots=True)
class _Block:
    calls: int = 0
    tokens: int = 0
    until: float = 0.0


Borrow = Callable[[Pool, Most, int, int], Awaitable[Lent]]


class Quotas:
    """What this process may still send in this minute, pool by pool. `clock` and `sleep` are of the same time."""

    def __init__(
        self,
        table: Bounds,
        borrow: Borrow,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._table, self._borrow, self._clock, self._sleep = table, borrow, clock, sleep
        self._blocks: dict[Pool, _Block] = {}
        self._turns: dict[Pool, asyncio.Lock] = {}
        self.waiting: set[asyncio.Task[Any]] = set()
        """Who waits for quota; they have sent nothing yet."""

    async def take(self, pool: Pool, tokens: int) -> None:
        """Returns when a call of so many tokens may leave; at once where nothing bounds its pool."""
        most = self._table.of(pool).most()
        if most is None:
            return
        need = 0 if most.tokens is None else min(tokens, most.tokens)
        task = asyncio.current_task()
        assert task is not None
        self.waiting.add(task)
        try:
            async with self._turns.setdefault(pool, asyncio.Lock()):
                await self._taken(pool, most, need)
        finally:
            self.waiting.discard(task)

    def forget(self, pool: Pool) -> None:
        """What is left of its minute, unless somebody waits for more."""
        turn = self._turns.get(pool)
        if turn is None or not turn.locked():
            self._turns.pop(pool, None)
            self._blocks.pop(pool, None)

    async def _taken(self, pool: Pool, most: Most, need: int) -> None:
        while True:
            asked_at = self._clock()
            block = self._blocks.setdefault(pool, _Block())
            if block.until <= asked_at:
                block.calls = block.tokens = 0
            if block.calls >= 1 and block.tokens >= need:
                block.calls -= 1
                block.tokens -= need
                return
            lent = await self._borrow(pool, most, *_wish(most, block, need))
            block.calls, block.tokens = block.calls + lent.calls, block.tokens + lent.tokens
            block.until = asked_at + lent.left_s
            if block.calls < 1 or block.tokens < need:
                await self._sleep(lent.left_s)


def _wish(most: Most, block: _Block, need: int) -> tuple[int, int]:
    """A block of what is missing. Where a minute's calls are not bounded, a block of them costs nothing."""
    calls = 0 if block.calls >= 1 else max(1, (BLOCKS * BLOCKS if most.calls is None else most.calls) // BLOCKS)
    missing = need - block.tokens
    tokens = 0 if missing <= 0 or most.tokens is None else max(missing, most.tokens // BLOCKS)
    return calls, tokens
