"""Rows that are called back: cancelled by somebody, or begun for a slot which has gone from us. Their calls are aborted, and those
that wait go back.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from agents.engine.shelf import Shelf
from store.ledger.types.claims import Claimed, Pool


class Recalls:
    """`tasks`, `seats` and `callers` are the engine's: of rows that have begun, that have no slot yet, and that are called.

    `put_back`: into the ledger, of a row that has not begun.
    """

    def __init__(
        self,
        tasks: Mapping[int, "asyncio.Task[None]"],
        seats: Collection[int],
        callers: Collection[int],
        shelves: Mapping[Pool, Shelf],
        put_back: Callable[[Claimed], None],
    ) -> None:
        self._tasks, self._seats, self._callers = tasks, seats, callers
        self._shelves, self._give_back = shelves, put_back
        self.stopping: set[int] = set()
        """Rows that somebody has cancelled while they were being called."""
        self.returning: set[int] = set()
        """Rows that have begun for a slot which has gone from us: they go back."""

    def stop(self, pks: Sequence[int]) -> None:
        """Abort calls that somebody has cancelled: the provider's connection is closed. Rows that wait for a slot go back,
        and end there. What is being recorded already is left alone.
        """
        for pk in pks:
            if pk in self._callers and pk not in self.stopping:
                self.stopping.add(pk)
                self._tasks[pk].cancel()
            elif pk not in self._tasks:
                self._put_back(pk)

    def send_back(self, pks: Iterable[int]) -> None:
        """The slots for which these were leased have gone from us: whoever has one may lease them."""
        for pk in pks:
            if pk not in self._tasks:
                self._put_back(pk)
            elif pk in self._seats and pk not in self.returning:
                self.returning.add(pk)
                asyncio.get_running_loop().call_soon(self._recall, pk)

    def _recall(self, pk: int) -> None:
        """A moment later: a task that is cancelled before its first step never runs, and its row would be held for ever."""
        if pk in self._seats and pk in self.returning:
            self._tasks[pk].cancel()
        else:
            self.returning.discard(pk)

    def _put_back(self, pk: int) -> None:
        for shelf in self._shelves.values():
            claim = shelf.drop(pk)
            if claim is not None:
                self._give_back(claim)

    def forget(self, pk: int) -> None:
        """Its task has ended."""
        self.stopping.discard(pk)
        self.returning.discard(pk)
