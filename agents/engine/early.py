"""A request that begins while it is being accepted: by the time its row is leased, its first call is built, so that the
intent stands with the same commit.

It asks for nothing that another request is denied: if the claim does not give it a slot at once, what has begun here is
forgotten, and it is run like any other when its turn comes.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from agents.engine.caller import LedgerCaller
from agents.engine.calling import Commit
from agents.engine.seat import Seat
from store.ledger.types.arrivals import Accepted, Arrival, Ask, First
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Step, Stepped
from store.ledger.writer import Writer

_FIELDS = tuple(field.name for field in fields(Claimed))
_NOBODY = -1
"""In place of the row's key until it has one."""


class Early:
    """One of them. `task` runs it; until it is `taken`, nothing of it is known outside."""

    task: "asyncio.Task[None]"

    def __init__(self, arrival: Arrival, ask: Ask, commit: Commit) -> None:
        self.pool = (ask.provider, ask.model)
        self.claim, self.seat, self.first = _unleased(arrival, ask), Seat(sure=True), First()
        self.read = ask.read
        self.holder: list[LedgerCaller] = []
        self.taken = False
        self._commit = commit
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def commit(self, step: Step) -> Stepped:
        """The first intent is committed with the request itself, all else by the writer."""
        if self.taken:
            return await self._commit(step)
        self.first.call = step.opens
        await self._opened
        return Stepped(held=True)

    def take(self, row: Claimed) -> Claimed:
        """Its row is leased and its first intent stands. The row, as it has known it from the beginning."""
        for name in _FIELDS:
            setattr(self.claim, name, getattr(row, name))
        self.taken = True
        self._opened.set_result(None)
        return self.claim


def _unleased(arrival: Arrival, ask: Ask) -> Claimed:
    """What is known of a row that is still to be made: what its request says. The rest comes when it is taken."""
    told: dict[str, Any] = {name: getattr(ask, name, None) for name in _FIELDS}
    told |= {"pk": _NOBODY, "fence": _NOBODY, "generation": 0, "attempts": 0, "ambiguous": 0}
    told |= {"key": arrival.key, "value": arrival.value or b"", "headers": arrival.headers}
    return Claimed(**told | {"at": time.time(), "taken_at": time.monotonic()})


class Earlies:
    """Those of one process that are not taken yet. `room`: for how many of a request's pool a slot may be there; `begin`: runs one."""

    def __init__(
        self, writer: Writer, room: Callable[[Ask], int], begin: Callable[[Early], "asyncio.Task[None]"]
    ) -> None:
        self._writer, self._room, self._begin = writer, room, begin
        self._all: set[Early] = set()

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Into the ledger, and each for which there is room begins at the same time."""
        begun = [self._early(arrival) for arrival in arrivals]
        told = [a if early is None else replace(a, first=early.first) for a, early in zip(arrivals, begun, strict=True)]
        try:
            return await self._writer.accept(told)
        finally:
            for early in begun:
                if early is not None:
                    self._forget(early)

    def _early(self, arrival: Arrival) -> Early | None:
        what = arrival.what
        if not isinstance(what, Ask) or what.failure is not None:
            return None
        pool = (what.provider, what.model)
        if self._room(what) <= sum(1 for early in self._all if early.pool == pool):
            return None
        early = Early(arrival, what, self._writer.step)
        self._all.add(early)
        early.task = self._begin(early)
        return early

    def find(self, call_id: str) -> Early | None:
        """Whose first call this is; it is taken out."""
        for early in self._all:
            if early.first.call is not None and early.first.call.id == call_id:
                self._all.discard(early)
                return early
        return None

    def _forget(self, early: Early) -> None:
        """Nobody has taken it: what has begun of it ends, before any call."""
        if early in self._all:
            self._all.discard(early)
            early.task.cancel()

    def tasks(self) -> Iterator["asyncio.Task[None]"]:
        return (early.task for early in self._all)
