"""Pieces of answers for callers of other processes: gathered for a moment, then put into the ledger, all in one commit.

Those that stay are all there before the result is: whoever comes back is told the same.
"""

import asyncio
import threading
from dataclasses import asdict
from functools import partial

import orjson
import structlog

from agents.engine.caller import Reads
from providers.calls import Delta, ToolCall
from store.database import Database
from store.errors import StoreError
from store.ledger import pieces
from store.ledger.pieces import Piece
from store.ledger.types.arrivals import RESUMABLE
from store.ledger.types.claims import Claimed

log = structlog.get_logger(__name__)
GATHER_S = 0.05
"""Somebody waits for each word; a commit for each would be ten times the database's work for what no eye sees."""

_Place = tuple[int, int]


class Poster:
    """Made in the loop's thread; what it is told may come from any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[int, int], list[tuple[_Place, Delta]]] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._kept: dict[tuple[int, int], int] = {}
        """The generation, of rows whose pieces stay."""
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def reads(self, claim: Claimed) -> Reads:
        """Who is told what comes of this row under this lease."""
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        whose = claim.pk, claim.fence

        def told(place: _Place, delta: Delta) -> None:
            if threading.get_ident() == thread:
                self._gather(whose, place, delta)
            else:
                loop.call_soon_threadsafe(self._gather, whose, place, delta)

        self._numbers[whose] = 0
        if claim.response == RESUMABLE:
            self._kept[whose] = claim.generation
        return told

    async def settle(self, claim: Claimed) -> None:
        """All that has come of it is written."""
        whose = claim.pk, claim.fence
        async with self._writing:
            if told := self._waiting.pop(whose, None):
                await self._put({whose: told})

    def forget(self, claim: Claimed) -> None:
        """Its lease has ended: what is not sent yet stands in the result."""
        whose = claim.pk, claim.fence
        for known in (self._waiting, self._numbers, self._kept):
            known.pop(whose, None)

    def _gather(self, whose: tuple[int, int], place: _Place, delta: Delta) -> None:
        if whose not in self._numbers:
            return
        self._waiting.setdefault(whose, []).append((place, delta))
        if self._task is None:
            self._task = asyncio.create_task(self._send(), name="poster")

    async def _send(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_S)
                async with self._writing:
                    waiting, self._waiting = self._waiting, {}
                    await self._put(waiting)
        finally:
            self._task = None

    async def _put(self, waiting: dict[tuple[int, int], list[tuple[_Place, Delta]]]) -> None:
        made = [self._piece(whose, told) for whose, told in waiting.items() if whose in self._numbers]
        try:
            if made:
                await self._database.write(partial(pieces.put, made=made))
        except (StoreError, TimeoutError) as error:  # a gap: whoever reads sees it, and has the rest from the result
            log.debug("pieces of answers were lost", error=str(error))

    def _piece(self, whose: tuple[int, int], told: list[tuple[_Place, Delta]]) -> Piece:
        number = self._numbers[whose]
        self._numbers[whose] = number + 1
        return Piece(*whose, number, pack(told), self._kept.get(whose))


def pack(told: list[tuple[_Place, Delta]]) -> bytes:
    """Deltas and the calls that they belong to, as they are sent across. What a prompt came to is told where it was counted."""
    return orjson.dumps(
        [
            [place, {name: value for name, value in asdict(delta).items() if value and name != "prompt"}]
            for place, delta in told
        ]
    )


def unpack(packed: bytes) -> list[tuple[_Place, Delta]]:
    """What `pack` made."""
    return [((place[0], place[1]), _delta(told)) for place, told in orjson.loads(packed)]


def _delta(told: dict[str, object]) -> Delta:
    calls = told.pop("tool_calls", ())
    logprobs = told.pop("logprobs", ())
    made = tuple((index, ToolCall(**call)) for index, call in calls)  # type: ignore[attr-defined]
    return Delta(**told, tool_calls=made, logprobs=tuple(logprobs))  # type: ignore[arg-type]
