"""The simulated day with more models than a node holds: which node gets which, by the very function that decides it.

Each model has its backlog and an order of its own; its slots open and close as `agents.engine.placing.place` says, and a node that
is given another model loads it first. Beside it the same day on nodes that take calls in turn, whatever they hold.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from agents.engine import placing
from agents.engine.placing import Home, Node, Rules, Waiting
from bench import report
from bench.day import LANE_NAMES, Arrival, Backlog, Day, Outcome, Worker
from store.ledger import order
from store.ledger.order import LANES, Pair

TICK_S = 1.0
"""So often it is decided, where anything waits."""


@dataclass(frozen=True)
class Models:
    """How many there are, the first asked for most; a node holds one at a time, and loads another in `load_s`."""

    count: int
    load_s: float
    seed: int = 1

    def of(self, coming: Sequence[Arrival]) -> dict[int, int]:
        """Which one each request names, by its key."""
        chance = random.Random(self.seed)
        shares = list(accumulate(1 / (1 + i) for i in range(self.count)))
        names = range(self.count)
        return {what.row.pk: chance.choices(names, cum_weights=shares)[0] for what in coming}


@dataclass
class Placed:
    """A day, and what was loaded until when: (hours, so far)."""

    outcome: Outcome = field(default_factory=Outcome)
    loads: list[tuple[float, int]] = field(default_factory=list)
    loaded: int = 0


@dataclass
class _Place:
    """A model at a node."""

    open: bool = False
    busy: int = 0
    free: int = 0
    since: float = 0.0


class _Pool:
    """One model: its rows, who picks them, and its slots at each node."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.backlog, self.worker = Backlog(), Worker(day.rules, 0, 0)
        self.places = [_Place() for _ in range(day.nodes)]

    def open(self, node: int, now: float) -> None:
        place, slots = self.places[node], self.day.slots_of_node
        place.open, place.since, place.free = True, now, slots - place.busy
        self._share(place.free)

    def close(self, node: int) -> None:
        place = self.places[node]
        place.open, gone, place.free = False, place.free, 0
        self._share(-gone)

    def _share(self, more: int) -> None:
        """Of the slots that are open a fifth is kept for what is urgent."""
        worker = self.worker
        idle = worker.free + worker.kept + more
        worker.total = sum(place.busy + place.free for place in self.places if place.open)
        worker.kept = min(idle, worker.total // 5)
        worker.free = idle - worker.kept

    def take(self) -> int:
        """A node with a free slot, the emptiest."""
        node = max(range(len(self.places)), key=lambda n: (self.places[n].free, -n))
        self.places[node].free -= 1
        self.places[node].busy += 1
        return node

    def leave(self, node: int, *, reserved: bool) -> None:
        place = self.places[node]
        place.busy -= 1
        if place.open:
            place.free += 1
            self.worker.kept += reserved
            self.worker.free += not reserved

    def has_rows(self) -> bool:
        return any(self.backlog.queues.lanes) or any(self.worker.held.lanes)

    def waiting(self, rules: Rules) -> Waiting | None:
        both = (self.backlog.queues, self.worker.held)
        rows = [queue[0] for queues in both for lane in queues.lanes for queue in lane.values()]
        if not rows:
            return None
        count = sum(self.backlog.queues.counts()) + sum(self.worker.held.counts())
        since = min(row.accepted_at for row in rows)
        best = min(i for queues in both for i, lane in enumerate(queues.lanes) if lane)
        return Waiting(count, since, placing.due(since, None, rules.gather_s), best)


class _Nodes:
    """What each node holds, and until when it loads."""

    def __init__(self, count: int, load_s: float) -> None:
        self.holds: list[int | None] = [None] * count
        self.ready_at, self.used_at = [0.0] * count, [0.0] * count
        self.load_s, self.loaded = load_s, 0

    def waits(self, node: int, model: int, now: float) -> float:
        """Until a call of `model` may begin there."""
        if self.holds[node] != model:
            self.holds[node], self.ready_at[node] = model, now + self.load_s
            self.loaded += 1
        return max(0.0, self.ready_at[node] - now)


def simulate(day: Day, models: Models, coming: Sequence[Arrival]) -> Placed:
    """All that comes is served; the day ends when the last one is."""
    rules = Rules(most=1)
    of, found = models.of(coming), Placed()
    pools = [_Pool(day) for _ in range(models.count)]
    nodes = _Nodes(day.nodes, models.load_s)
    by_pk = {what.row.pk: what for what in coming}
    ending: list[tuple[float, int, int, int, bool]] = []
    upcoming, at_work = deque(coming), 0
    decided, sampled = -math.inf, 0.0
    while upcoming or ending or any(pool.has_rows() for pool in pools):
        now = min(
            upcoming[0].at if upcoming else math.inf,
            ending[0][0] if ending else math.inf,
            decided + TICK_S if any(pool.has_rows() for pool in pools) else math.inf,
        )
        touched: set[int] = set()
        while ending and ending[0][0] <= now:
            _, _, model, node, reserved = heapq.heappop(ending)
            pools[model].leave(node, reserved=reserved)
            nodes.used_at[node] = now
            at_work -= 1
            touched.add(model)
        while upcoming and upcoming[0].at <= now:
            what = upcoming.popleft()
            pools[of[what.row.pk]].backlog.add(what)
            pools[of[what.row.pk]].worker.dirty = True
            touched.add(of[what.row.pk])
        if now >= decided + TICK_S:
            decided = now
            touched |= _decide(pools, nodes, now, rules)
        for model in sorted(touched):
            for pair, row, node, reserved in _begin(pools[model], now):
                what = by_pk[row.pk]
                waits = nodes.waits(node, model, now)
                found.outcome.waits[pair.lane].append(now + waits - what.at)
                found.outcome.busy_s += what.takes_s
                at_work += 1
                heapq.heappush(ending, (now + waits + what.takes_s, row.pk, model, node, reserved))
        if now >= sampled:
            sampled = now + day.hours * 3_600.0 / 200
            found.outcome.at_work.append((now / 3_600.0, at_work))
            found.loads.append((now / 3_600.0, nodes.loaded))
            for lane in range(LANES):
                rows = sum(p.backlog.queues.counts()[lane] + p.worker.held.counts()[lane] for p in pools)
                found.outcome.backlog[lane].append((now / 3_600.0, rows))
        found.outcome.ended_at = now
    found.loaded = nodes.loaded
    return found


def _begin(pool: _Pool, now: float) -> list[tuple[Pair, order.Waiting, int, bool]]:
    if pool.worker.is_due() and any(pool.backlog.queues.lanes):
        pool.worker.claim(pool.backlog, now)
    return [(pair, row, pool.take(), reserved) for pair, row, reserved in pool.worker.begin(now)]


def _decide(pools: Sequence[_Pool], nodes: _Nodes, now: float, rules: Rules) -> set[int]:
    """Open and close slots; the models of which some were opened."""
    waiting = {str(i): found for i, pool in enumerate(pools) if (found := pool.waiting(rules)) is not None}
    if not waiting:
        return set()
    homes = [
        Home(f"{node:04}", str(i), place.open, place.busy, place.since)
        for i, pool in enumerate(pools)
        for node, place in enumerate(pool.places)
    ]
    known = {
        f"{node:04}": Node(frozenset() if holds is None else frozenset({str(holds)}), nodes.used_at[node], nodes.load_s)
        for node, holds in enumerate(nodes.holds)
    }
    moves = placing.place(homes, waiting, known, now, rules)
    for node, model in sorted(moves.closes):
        pools[int(model)].close(int(node))
    for node, model in sorted(moves.opens):
        pools[int(model)].open(int(node), now)
    return {int(model) for _, model in moves.opens}


def in_turn(day: Day, models: Models, coming: Sequence[Arrival]) -> tuple[int, list[float]]:
    """Loads, and waits, where calls go to the nodes in turn and each node does them as they come."""
    of = models.of(coming)
    free = [[0.0] * day.slots_of_node for _ in range(day.nodes)]
    nodes, waits = _Nodes(day.nodes, models.load_s), []
    for i, what in enumerate(coming):
        node = i % day.nodes
        model = of[what.row.pk]
        others = nodes.holds[node] != model
        begins = max(
            what.at, max(free[node]) if others else min(free[node])
        )  # another model waits until the node is empty
        begins += nodes.waits(node, model, begins)
        slot = free[node].index(min(free[node]))
        free[node][slot] = begins + what.takes_s
        waits.append(begins - what.at)
    return nodes.loaded, waits


def told(day: Day, models: Models, coming: Sequence[Arrival], found: Placed) -> list[report.Line]:
    """The table of such a day."""
    side, lines = f"{day.nodes} nodes, {models.count} models", []
    others, waits = in_turn(day, models, coming)
    lines.append(report.Line(side, "loads a call", "", [found.loaded / len(coming)]))
    lines.append(report.Line(side, "of those of nodes that take calls in turn", "", [found.loaded / max(1, others)]))
    for lane, name in enumerate(LANE_NAMES):
        for share in (0.5, 0.95):
            if mine := found.outcome.waits[lane]:
                figure = f"{name} waits, p{100 * share:.0f}"
                lines.append(report.Line(side, figure, "s", [report.percentile(mine, share)]))
    lines.append(report.Line(side, "all wait, in turn, p50", "s", [report.percentile(waits, 0.5)]))
    busy = found.outcome.busy_s / (found.outcome.ended_at * day.slots)
    lines.append(report.Line(side, "slots busy", "", [busy]))
    return lines
