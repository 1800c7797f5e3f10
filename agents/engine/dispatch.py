"""Rows begin and slots are handed on: a slot that a call has left serves the next row of its shelf before anything is committed."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from agents.engine.gates import Gates
from agents.engine.later import later
from agents.engine.seat import Seat
from agents.engine.shelf import Shelf
from store.ledger.types.claims import Claimed, Slot
from store.ledger.writer import Writer

AHEAD = 4
"""One row ahead for so many slots: to prepare a call takes some commits' time, to make it much longer."""


class Dispatch:
    """`tasks` and `seats` are the engine's, and are filled here; `work` runs a row; nothing new begins while `is_draining`."""

    def __init__(
        self,
        writer: Writer,
        gates: Gates,
        tasks: dict[int, "asyncio.Task[None]"],
        seats: dict[int, Seat],
        work: Callable[[Shelf, Claimed, Seat], Coroutine[Any, Any, None]],
        is_draining: Callable[[], bool],
    ) -> None:
        self._writer, self._gates = writer, gates
        self._tasks, self._seats = tasks, seats
        self._work, self._is_draining = work, is_draining

    def begin(self, shelf: Shelf) -> None:
        """Start every pair; give back the slots that no row can use; ask for more when the shelf runs low."""
        self._start(shelf)
        if shelf.idle:
            surplus, shelf.idle = shelf.idle, []
            later(self._writer.free(surplus))
        if shelf.is_due() and not self._is_draining():
            self._writer.claim_soon()

    def _start(self, shelf: Shelf) -> None:
        if not self._is_draining():
            for claim, slot in shelf.pair():
                claim.leased_at += time.monotonic() - claim.taken_at
                seat = self._seats.pop(claim.pk, None)
                if seat is not None:
                    seat.give(slot)
                else:
                    self._task(shelf, claim, Seat(slot))
            self._start_ahead(shelf)

    def _start_ahead(self, shelf: Shelf) -> None:
        """The next rows begin before a slot is there, as far as they can without one."""
        for claim in shelf.next(max(1, shelf.total // AHEAD)):
            if claim.pk not in self._tasks:
                self._seats[claim.pk] = Seat()
                self._task(shelf, claim, self._seats[claim.pk])

    def _task(self, shelf: Shelf, claim: Claimed, seat: Seat) -> None:
        self._tasks[claim.pk] = asyncio.create_task(self._work(shelf, claim, seat), name=f"request-{claim.pk}")

    def leave_seat(self, shelf: Shelf, claim: Claimed, seat: Seat) -> Slot | None:
        """The slot that goes back to everybody, if there was one and no row of ours can use it."""
        if seat.slot is not None:
            return self._hand_on(shelf, seat.slot)
        self._seats.pop(claim.pk, None)
        shelf.drop(claim.pk)
        self._start(shelf)
        return None

    def _hand_on(self, shelf: Shelf, slot: Slot) -> Slot | None:
        """The provider's slot is free as soon as its answer is here: the next ready row begins before this one is booked."""
        shelf.release(slot)
        if self._gates.is_shared(shelf.pool):
            shelf.forget(slot)
            shelf.dirty = True
        self._start(shelf)
        if not self._is_draining() and shelf.is_due():
            self._writer.claim_soon()
        if slot in shelf.idle:
            shelf.forget(slot)
            return slot
        return slot if slot not in shelf.busy else None
