"""One pool's leased rows that wait for a slot, and slots that wait for a row. Pure but for the clock that it is given."""

import time
from collections.abc import Callable, Iterable
from itertools import islice

from store.ledger.types import Claimed, Pool, Slot, Want

_BATCH = 2
AVOID_S = 5.0
"""How long a node that refused at its door is left alone, while another one is there."""


class Shelf:
    """Best lane first, then arrival. A reserved slot never serves the batch lane."""

    def __init__(
        self, pool: Pool, total: int, nodes: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pool, self.total, self.nodes, self._clock = pool, total, frozenset(nodes), clock
        self._avoided: dict[str, float] = {}
        self.ready: tuple[dict[int, Claimed], ...] = ({}, {}, {})
        self.idle: list[Slot] = []
        self.busy: set[Slot] = set()
        self.dirty = True
        """Rows may wait in the ledger that we have not seen."""
        self.more = False
        """The last claim left rows behind."""

    def put(self, rows: Iterable[Claimed], slots: Iterable[Slot]) -> None:
        """What a claim got."""
        for row in rows:
            self.ready[row.lane][row.pk] = row
        self.idle.extend(slots)

    def drop(self, pk: int) -> None:
        """A row that is not ours any more."""
        for lane in self.ready:
            lane.pop(pk, None)

    def take(self, pk: int) -> Claimed | None:
        """A ready row, off the shelf; None: it is not on this one."""
        return next((found for lane in self.ready if (found := lane.pop(pk, None)) is not None), None)

    def release(self, slot: Slot) -> None:
        """A call has ended; its slot may serve the next one at once."""
        self.busy.discard(slot)
        self.idle.append(slot)

    def forget(self, slot: Slot) -> None:
        """A slot that goes back to everybody."""
        self.idle.remove(slot)

    def pair(self) -> list[tuple[Claimed, Slot]]:
        """Rows and slots that can begin now; they are taken off the shelf."""
        pairs: list[tuple[Claimed, Slot]] = []
        avoided = self.avoided()
        usable = sorted((slot for slot in self.idle if slot.node not in avoided), key=lambda slot: not slot.reserved)
        for lane, rows in enumerate(self.ready):
            while rows:
                slot = next((slot for slot in usable if lane != _BATCH or not slot.reserved), None)
                if slot is None:
                    break
                usable.remove(slot)
                self.idle.remove(slot)
                self.busy.add(slot)
                pairs.append((rows.pop(next(iter(rows))), slot))
        return pairs

    def next(self, count: int) -> list[Claimed]:
        """The rows that will get the next slots."""
        return list(islice((row for lane in self.ready for row in lane.values()), count))

    def counts(self) -> tuple[int, int, int]:
        """Rows ready, by lane."""
        return len(self.ready[0]), len(self.ready[1]), len(self.ready[2])

    def want(self) -> Want:
        """What a claim could bring us."""
        return Want(self.pool, self.total, self.counts(), self.avoided())

    def avoid(self, node: str) -> bool:
        """Leave a node alone for a while; whether there is another one to go to now."""
        self._avoided[node] = self._clock() + AVOID_S
        return bool(self.avoided())

    def avoided(self) -> frozenset[str]:
        """Nodes to leave alone; none when it would be all of them."""
        if not self._avoided:
            return frozenset()
        now = self._clock()
        self._avoided = {node: until for node, until in self._avoided.items() if until > now}
        found = frozenset(self._avoided)
        return frozenset() if found >= self.nodes else found

    def is_due(self) -> bool:
        """Whether a claim is worth its statements now."""
        return self.dirty or (self.more and sum(self.counts()) * 2 <= self.total)

    def pks(self) -> set[int]:
        """Rows that we hold without running them."""
        return {pk for lane in self.ready for pk in lane}
