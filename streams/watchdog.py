"""Ends a process that does not get on: Faust is known to stall with records waiting, and a blocked loop says nothing.

Two ways: a loop that stands still for `GENAI_STALL_S` is ended by a thread of the interpreter, with all stacks; a lane that
has records waiting and takes none for so long, while the database answers, is ended from the loop.
"""

import asyncio
import faulthandler
import sys
import time

import structlog

from streams.spine import Spine

log = structlog.get_logger(__name__)

_BEAT_S = 5.0


class Watchdog:
    """Asked again and again by the loop that it guards."""

    def __init__(self, spine: Spine, stall_s: float) -> None:
        self.spine, self.stall_s = spine, stall_s
        self._taken = -1
        self._moved = time.monotonic()

    def bites(self) -> bool:
        """True: there is work and no progress; the stacks are on standard error."""
        intake = self.spine.intake
        if intake is None:
            return False
        now = time.monotonic()
        taken = sum(state.taken for state in intake.lanes)
        lag = intake.lag()
        waits = sum(lag[state.name] for state in intake.lanes if not state.held)
        if taken != self._taken or not waits or not self.spine.writer.health.ok or self._is_starting():
            self._taken, self._moved = taken, now
        if now - self._moved < self.stall_s:
            return False
        log.error("records wait and none is taken; the process ends so that a new one can start", lag=lag)
        dump()
        return True

    def _is_starting(self) -> bool:
        """The start of its partitions is asked of a broker or a ledger that may be away: that takes what it takes."""
        assert self.spine.intake is not None
        consumer = self.spine.intake._consumer()  # noqa: SLF001 - the same program
        return consumer is None or bool(consumer.unplanned)


def dump() -> None:
    """Every task's and every thread's stack, to standard error."""
    for task in asyncio.all_tasks():
        task.print_stack(limit=12, file=sys.stderr)
    faulthandler.dump_traceback(all_threads=True)


def arm(stall_s: float) -> "asyncio.Task[None]":
    """Ends the process when this loop does not come round for `stall_s`; cancel the task to disarm it."""
    return asyncio.create_task(_beat(stall_s), name="watchdog")


async def _beat(stall_s: float) -> None:
    try:
        while True:
            faulthandler.dump_traceback_later(stall_s, exit=True)
            await asyncio.sleep(min(_BEAT_S, stall_s / 4))
    finally:
        faulthandler.cancel_dump_traceback_later()
