"""Which waiting request is next. Pure: equal inputs give equal picks, and the time is given.

Between lanes smooth weighted round robin; inside a lane the tenant that was served least, counted in tokens (the virtual
token counter of arXiv 2401.00588); inside a tenant what is due first. Each process keeps an `Order` of its own: all pick
from the same rows, so that fair picks of each are fair together.
"""

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

LANES = 3
BATCH = 2
URGENT = (0, 1)
"""Lanes that reserved slots serve."""
ALL = (0, 1, 2)
AGED = 2
"""The weight of a lane whose oldest row has waited too long is multiplied by this, once: whatever has aged, realtime keeps
8 of 8 + 2 * 3 + 2 * 1 picks, which is half of them.
"""
OUTPUT_WEIGHS = 2
"""A token that is written counts as so many that are read, as in the paper."""
GUESSED_OUTPUT = 256
"""Tokens that an answer is taken to have when its request does not say."""
MOST_KEPT = 4096
"""Counters of tenants that have nothing waiting; with more of them all are forgotten but those that wait."""


class Waiting(NamedTuple):
    """A row, as far as its turn depends on it. They sort as they are due."""

    due: float
    pk: int
    weight: int
    """Tokens it may take, guessed."""
    accepted_at: float


class Pair(NamedTuple):
    """Whose turn it is."""

    lane: int
    tenant: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set. Times are seconds."""

    weights: tuple[int, int, int] = (8, 3, 1)
    aging_s: tuple[float, float, float] = (math.inf, 60.0, 900.0)
    """A row that has waited for longer makes its lane's weight `AGED` times as large."""
    lend_after_s: float = 5.0
    """Reserved slots are lent to the batch lane when no realtime row has come for so long."""


class Queues:
    """Rows that wait, by lane and tenant, each queue as its rows are due; none of them is empty."""

    def __init__(self, rows: Iterable[tuple[Pair, Waiting]] = ()) -> None:
        self.lanes: tuple[dict[str, list[Waiting]], ...] = ({}, {}, {})
        for pair, row in rows:
            self.add(pair, row)

    def add(self, pair: Pair, row: Waiting) -> None:
        queue = self.lanes[pair.lane].setdefault(pair.tenant, [])
        if not queue or queue[-1] < row:
            queue.append(row)
        else:
            insort(queue, row)

    def remove(self, pair: Pair, row: Waiting) -> None:
        queue = self.lanes[pair.lane][pair.tenant]
        del queue[bisect_left(queue, row)]
        if not queue:
            del self.lanes[pair.lane][pair.tenant]

    def counts(self) -> tuple[int, int, int]:
        """Rows, by lane."""
        realtime, normal, batch = (sum(map(len, lane.values())) for lane in self.lanes)
        return realtime, normal, batch

    def only(self) -> tuple[Pair, list[Waiting]] | None:
        """The one queue that there is; None: there are several, or none."""
        if sum(map(len, self.lanes)) != 1:
            return None
        return next((Pair(i, tenant), rows) for i, lane in enumerate(self.lanes) for tenant, rows in lane.items())

    def without(self, pks: Collection[int]) -> "Queues":
        """The others: a row that waits again was lost by whoever believes to hold it."""
        stale = [(pair, row) for pair, row in self if row.pk in pks]
        if not stale:
            return self
        made = self.copy()
        for pair, row in stale:
            made.remove(pair, row)
        return made

    def copy(self) -> "Queues":
        made = Queues()
        made.lanes = tuple({tenant: queue.copy() for tenant, queue in lane.items()} for lane in self.lanes)
        return made

    def __iter__(self) -> Iterator[tuple[Pair, Waiting]]:
        for i, lane in enumerate(self.lanes):
            for tenant, queue in lane.items():
                for row in queue:
                    yield Pair(i, tenant), row


@dataclass(slots=True)
class Order:
    """What was picked so far, as far as the next pick depends on it."""

    rules: Rules = field(default_factory=Rules)
    credit: list[float] = field(default_factory=lambda: [0.0] * LANES)
    spent: tuple[dict[str, int], ...] = field(default_factory=lambda: ({}, {}, {}))
    """Tokens served, by lane and tenant; only differences between tenants of a lane mean anything."""
    seen: list[frozenset[str]] = field(default_factory=lambda: [frozenset[str]()] * LANES)
    """The tenants that had rows waiting at the last pick of a lane."""

    def copy(self) -> "Order":
        return Order(self.rules, self.credit.copy(), tuple(spent.copy() for spent in self.spent), self.seen.copy())

    def take(self, queues: Queues, now: float, lanes: Sequence[int] = ALL) -> tuple[Pair, Waiting] | None:
        """The next row of these lanes, out of its queue and charged to its tenant; None: they have none."""
        lane = self._lane(queues, now, lanes)
        if lane is None:
            return None
        pair = Pair(lane, self._tenant(lane, queues.lanes[lane]))
        row = queues.lanes[lane][pair.tenant][0]
        queues.remove(pair, row)
        self.spent[lane][pair.tenant] += charge(row.weight)
        return pair, row

    def settle(self, pair: Pair, weight: int, used: int) -> None:
        """What a row has really used, in place of the guess that was charged when it was picked."""
        spent = self.spent[pair.lane]
        if pair.tenant in spent:
            spent[pair.tenant] += used - charge(weight)

    def _lane(self, queues: Queues, now: float, lanes: Sequence[int]) -> int | None:
        self._forgive(queues)
        ready = [i for i in lanes if queues.lanes[i]]
        if len(ready) < 2:  # whose credit would be raised and lowered by the same
            return ready[0] if ready else None
        weights = [self._weight(i, queues.lanes[i], now) for i in ready]
        for i, weight in zip(ready, weights, strict=True):
            self.credit[i] += weight
        best = max(ready, key=lambda i: (self.credit[i], -i))
        self.credit[best] -= sum(weights)
        return best

    def _forgive(self, queues: Queues) -> None:
        """A lane without rows owes nothing and is owed nothing, so that an urgent row that comes goes first at once. The
        others bear it by their weights: the sum stays zero, or they would be owed turns that nobody took from them.
        """
        present = [i for i in ALL if queues.lanes[i]]
        moved = sum(self.credit[i] for i in ALL if i not in present)
        if not moved or not present:
            return
        total = sum(self.rules.weights[i] for i in present)
        self.credit = [
            credit + moved * self.rules.weights[i] / total if i in present else 0.0
            for i, credit in enumerate(self.credit)
        ]

    def _weight(self, lane: int, queues: dict[str, list[Waiting]], now: float) -> int:
        weight, aging_s = self.rules.weights[lane], self.rules.aging_s[lane]
        oldest = min(queue[0].accepted_at for queue in queues.values())
        return weight * AGED if now - oldest > aging_s else weight

    def _tenant(self, lane: int, queues: dict[str, list[Waiting]]) -> str:
        spent = self.spent[lane]
        if queues.keys() != self.seen[lane]:
            self._lift(lane, queues.keys())
        return min(queues, key=lambda tenant: (spent[tenant], queues[tenant][0]))

    def _lift(self, lane: int, waiting: Collection[str]) -> None:
        """Who was idle gets no credit for it: it begins where the least served of the others is, and before that one. Who
        has left with less than that need not be remembered.
        """
        spent, seen, now = self.spent[lane], self.seen[lane], frozenset(waiting)
        least = min((spent[tenant] for tenant in (now & seen or seen)), default=0)
        for tenant in now - seen:
            spent[tenant] = max(spent.get(tenant, least - 1), least - 1)
        gone = [tenant for tenant, tokens in spent.items() if tenant not in now and tokens <= least]
        if len(spent) - len(gone) > len(now) + MOST_KEPT:
            gone = [tenant for tenant in spent if tenant not in now]
        for tenant in gone:
            del spent[tenant]
        self.seen[lane] = now


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows to lease, in the order in which they will be picked. `blind`: one that we have not seen may be next."""

    pks: tuple[int, ...] = ()
    blind: bool = False


def guess(size: int, max_tokens: int | None, *, writes: bool = True) -> int:
    """The weight of a request of so many bytes, before it is run."""
    return size // 4 + (OUTPUT_WEIGHS * (max_tokens or GUESSED_OUTPUT) if writes else 0)


def charge(weight: int) -> int:
    """What a row costs its tenant at least: rows of unknown size take turns."""
    return max(1, weight)


def plan(
    order: Order, held: Queues, found: Sequence[tuple[Pair, Waiting]], count: int, now: float, cut: Collection[Pair]
) -> Plan:
    """Which of the rows that were found are among the next `count` picks, beside the rows that are held already.

    `cut`: who may have more rows than were found. Once all found ones of such a tenant are picked, the plan ends: what
    comes next cannot be known.
    """
    if not found:
        return Plan()
    left = Counter(pair for pair, _ in found)
    new = {row.pk for _, row in found}
    queues = held.without(new).copy()
    for pair, row in found:
        queues.add(pair, row)
    picked: list[int] = []
    for pair, row in _picks(order, queues, count, now):
        if row.pk not in new:
            continue
        picked.append(row.pk)
        left[pair] -= 1
        if not left[pair] and pair in cut:
            return Plan(tuple(picked), blind=True)
        if len(picked) == len(new):
            break
    return Plan(tuple(picked))


def bounded(pks: Sequence[int], lane_of: Mapping[int, int], batch: int) -> tuple[int, ...]:
    """At most so many rows of the batch lane; the others in their order."""
    kept: list[int] = []
    left = max(0, batch)
    for pk in pks:
        if lane_of[pk] == BATCH:
            if not left:
                continue
            left -= 1
        kept.append(pk)
    return tuple(kept)


def ahead(order: Order, held: Queues, count: int, now: float) -> list[int]:
    """The rows that will be picked next, of those that are held."""
    return [row.pk for _, row in _picks(order, held, count, now)]


def _picks(order: Order, queues: Queues, count: int, now: float) -> Iterator[tuple[Pair, Waiting]]:
    """The next picks; nothing that was given is changed."""
    only = queues.only()
    if only is not None:  # nothing to weigh: one tenant of one lane
        pair, rows = only
        yield from ((pair, row) for row in islice(rows, max(0, count)))
        return
    copied, left = order.copy(), queues.copy()
    for _ in range(count):
        taken = copied.take(left, now)
        if taken is None:
            return
        yield taken
