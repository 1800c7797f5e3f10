"""The slot of one request: there from the start, or still to come."""

import asyncio

from store.ledger.types.claims import Slot


class Seat:
    """A request may begin before it has a slot, so that the slot is busy again as soon as it is handed on: its prompt is
    made, and for a free model its intent is committed. For a paid one the intent waits: it counts as a call that was made.
    """

    def __init__(self, slot: Slot | None = None, *, sure: bool = False) -> None:
        self.sure = sure
        """The commit of the intent brings the slot, or the intent is not committed."""
        self.nowhere = False
        """None will ever come."""
        self._given: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        if slot is not None:
            self._given.set_result(slot)

    @classmethod
    def none(cls) -> "Seat":
        """For a request that is run with the answer that it waited for: a further call needs a slot, and so another claim."""
        seat = cls()
        seat.nowhere = True
        return seat

    @property
    def slot(self) -> Slot | None:
        """None: it has not come yet."""
        return self._given.result() if self._given.done() and not self._given.cancelled() else None

    @property
    def node(self) -> str:
        """Where the call goes, as far as that is known."""
        return "" if self.slot is None else self.slot.node

    def give(self, slot: Slot) -> None:
        """The slot is here."""
        self._given.set_result(slot)

    async def taken(self) -> Slot:
        """The slot, once it is here; whoever waits may be cancelled without the seat being lost."""
        return await asyncio.shield(self._given)
