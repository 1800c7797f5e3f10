"""What became of a row goes into the ledger; whoever waits for it in this process is told, and what follows is counted and looked for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from agents.engine import counting, task
from agents.engine.caller import LedgerCaller
from agents.engine.metrics import Metrics
from store.errors import Away, StoreError
from store.ledger.types.claims import Claimed, Pool, Slot
from store.ledger.types.steps import Move, Retry, Step
from store.ledger.writer import Writer

log = structlog.get_logger(__name__)
_AWAY_S = 0.25


class Recording:
    """`on_end`: told each end, with the result; `ensure`: makes a pool's slots; `look_in`: claim again after so many seconds."""

    def __init__(
        self,
        writer: Writer,
        metrics: Metrics,
        on_end: Sequence[Callable[[Claimed, bytes], None]],
        ensure: Callable[[Pool], Awaitable[None]],
        look_in: Callable[[float], object],
    ) -> None:
        self._writer, self._metrics, self._on_end = writer, metrics, on_end
        self._ensure, self._look_in = ensure, look_in

    async def record(self, claim: Claimed, step: Step | None, freed: Slot | None) -> None:
        """A lease has ended so, and a slot goes back to everybody with it; where the ledger refuses the answer, one that it takes."""
        if step is None:
            if freed is not None:
                await self._writer.free([freed])
            return
        try:
            await self.finish(replace(step, free=freed))
        except StoreError as error:
            await self._instead(replace(_refused(claim, error, step), free=freed))

    async def _instead(self, step: Step) -> None:
        """Even if what its calls came to cannot be written down, the request ends."""
        try:
            await self.finish(step)
        except StoreError as error:
            if not step.closings:
                raise
            await self.finish(replace(_refused(step.claim, error, None), free=step.free))

    async def finish(self, step: Step) -> None:
        """Raises StoreError."""
        if isinstance(step.then, Move):
            await self._ready(step.then)
        stepped = await self._writer.step(step)
        if stepped.body is not None:  # whoever waits for it goes first
            self._tell_end(step.claim, stepped.body)
        counting.count(self._metrics, step, stepped)
        if isinstance(step.then, Retry | Move):
            self._look_in(step.then.delay_s if isinstance(step.then, Retry) else 0.0)
        for one in stepped.shared:
            counting.count_shared(self._metrics, one)
            self._tell_end(one.claim, one.body)

    async def _ready(self, move: Move) -> None:
        """The pool that the row goes to has slots before anybody can look for rows in it."""
        while True:
            try:
                return await self._ensure((move.provider, move.model))
            except Away:  # what happened to the row waits for the database too
                await asyncio.sleep(_AWAY_S)

    def _tell_end(self, claim: Claimed, body: bytes) -> None:
        for listener in self._on_end:
            listener(claim, body)


def ended_by(claim: Claimed, error: Exception, holder: Sequence[LedgerCaller]) -> Step:
    """What becomes of a row whose run has raised: nothing that is raised leaves it without an end. `holder`: its caller, if there
    is one, whose calls are booked.
    """
    if isinstance(error, Away):  # nothing was found out about it: it is run when the database is back
        return Step(claim, holder[0].books.kept() if holder else (), then=Retry(_AWAY_S))
    if isinstance(error, StoreError):
        return _refused(claim, error, None)
    log.error("a defect has ended a request", **task.ids(claim), exc_info=error)
    return task.broken(claim, error, holder[0] if holder else None)


def _refused(claim: Claimed, error: StoreError, step: Step | None) -> Step:
    """In place of a step that the ledger did not take."""
    log.error("the ledger refused the last word about a request", **task.ids(claim), exc_info=error)
    return task.refused(claim, error, step)
