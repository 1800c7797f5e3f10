"""One pool's leased rows that wait for a slot, and slots that wait for a row. Pure but for what it is told of closed nodes."""

import time
from collections.abc import Callable, Iterable

from store.ledger.order import ALL, BATCH, URGENT, Order, Queues, Rules, ahead
from store.ledger.types.claims import Claimed, Pool, Seen, Slot, Want


class Shelf:
    """Rows begin in the order of `store.ledger.order`. A reserved slot serves the batch lane only while it is lent."""

    def __init__(
        self,
        pool: Pool,
        total: int,
        avoided: Callable[[], frozenset[str]] = frozenset,
        clock: Callable[[], float] = time.monotonic,
        rules: Rules | None = None,
    ) -> None:
        self.pool, self.total, self.avoided, self._clock = pool, total, avoided, clock
        """`avoided`: the nodes at which no call may begin now."""
        self.order = Order(rules or Rules())
        self.rows: dict[int, Claimed] = {}
        self._held = Queues()
        self._copied: tuple[Queues, Order] | None = None
        self._ahead_s = 0.0
        """By how much the ledger's clock is ahead of ours."""
        self.idle: list[Slot] = []
        self.busy: set[Slot] = set()
        self.dirty = True
        """Rows may wait in the ledger that we have not seen."""
        self.more = False
        """The last claim left rows behind."""
        self.seen = Seen()

    def put(self, rows: Iterable[Claimed], slots: Iterable[Slot]) -> None:
        """What a claim got."""
        for row in rows:
            self.drop(row.pk)  # an older lease of it, that was given back
            self.rows[row.pk] = row
            self._held.add(row.pair, row.waiting)
        self.idle.extend(slots)
        self._copied = None

    def saw(self, seen: Seen, more: bool, at: float | None) -> None:
        """What a claim that was made at `at` of the ledger's time says of the rows that it left."""
        self.seen, self.dirty, self.more = seen, seen.again, more
        if at is not None:
            self._ahead_s = at - self._clock()

    def drop(self, pk: int) -> Claimed | None:
        """A row that is not ours any more, or that goes another way; None: it is not on this shelf."""
        row = self.rows.pop(pk, None)
        if row is not None:
            self._held.remove(row.pair, row.waiting)
            self._copied = None
        return row

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
        if not (self.rows and self.idle):
            return pairs
        avoided, now = self.avoided(), self._now()
        kept = [slot for slot in self.idle if slot.reserved and slot.node not in avoided]
        free = [slot for slot in self.idle if not slot.reserved and slot.node not in avoided]
        while kept or free:
            taken = self.order.take(self._held, now, ALL if free or self._is_lent() else URGENT)
            if taken is None:
                break
            (lane, _), row = taken
            first, second = (free, kept) if lane == BATCH else (kept, free)
            slot = (first or second).pop(0)
            self.idle.remove(slot)
            self.busy.add(slot)
            pairs.append((self.rows.pop(row.pk), slot))
        self._copied = None
        return pairs

    def settle(self, row: Claimed, used: int) -> None:
        """What a row that has begun has really used."""
        self.order.settle(row.pair, row.weight, used)
        self._copied = None

    def _is_lent(self) -> bool:
        return self.seen.lent and not self._held.lanes[0]

    def _now(self) -> float:
        return self._clock() + self._ahead_s

    def next(self, count: int) -> list[Claimed]:
        """The rows that will get the next slots."""
        return [self.rows[pk] for pk in ahead(self.order, self._held, count, self._now())]

    def counts(self) -> tuple[int, int, int]:
        """Rows ready, by lane."""
        return self._held.counts()

    def want(self) -> Want:
        """What a claim could bring us."""
        if self._copied is None:
            self._copied = self._held.copy(), self.order.copy()
        held, order = self._copied
        return Want(self.pool, self._own(), self.counts(), held=held, order=order, after=self.seen.after)

    def spare(self) -> int:
        """Slots that may be free for rows that come now, as far as this process knows: none while others wait for one."""
        return 0 if self.rows or self.more or self.avoided() else self.total - self._own()

    def is_stranded(self) -> bool:
        """Rows are held and no slot is ours: those that others have may never come to us."""
        return bool(self.rows) and not self._own()

    def _own(self) -> int:
        """The slots that this process has. It leases as many rows ahead: those that it leased without slots would wait for
        whoever has them.
        """
        return len(self.idle) + len(self.busy)

    def is_due(self) -> bool:
        """Whether a claim is worth its statements now."""
        own = self._own()
        return self.dirty or (self.more and own > 0 and len(self.rows) * 2 <= own)

    def is_dry(self) -> bool:
        """No slot is ours, and rows wait for one, here or in the ledger: what the next transaction frees is claimed with it.

        Slots are given back when no row is here for them, also while a claim is on its way that brings rows.
        """
        return (bool(self.rows) or self.more) and not self._own()

    def is_in_use(self) -> bool:
        """Whether a row or a slot of it is here."""
        return bool(self.rows or self.idle or self.busy)

    def pks(self) -> set[int]:
        """Rows that we hold without running them."""
        return set(self.rows)
