"""A simulated day: what comes, the backlog, the workers, on the very functions that order the rows.

Time is virtual, so a day takes seconds. Workers share one backlog, as they share the ledger: each claims ahead of its own
shelf and keeps an order of its own. The same seed gives the same day.
"""

import heapq
import math
import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from store.ledger.choose import FEW, MOST_HELD, TENANTS
from store.ledger.order import ALL, BATCH, LANES, URGENT, Order, Pair, Queues, Rules, Waiting, plan

LANE_NAMES = ("realtime", "normal", "batch")
DAY_S = 86_400.0
TOKENS_PER_S = 25.0
"""What a slot writes, with all slots of its node in use."""
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Day:
    """What comes. `load`: the mean of what the slots can do; the busiest hour has half as much again."""

    nodes: int
    load: float = 0.85
    hours: float = 24.0
    slots_of_node: int = 4
    workers: int = 2
    shares: tuple[float, float, float] = (0.10, 0.45, 0.45)
    """Of the requests, by lane. Batch comes in bursts, each of one tenant."""
    tenants: int = 20
    seed: int = 1
    rules: Rules = field(default_factory=Rules)

    @property
    def slots(self) -> int:
        return self.nodes * self.slots_of_node


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the day."""

    at: float
    pair: Pair
    row: Waiting
    takes_s: float


def arrivals(day: Day) -> list[Arrival]:
    """Lengths have a long tail, the first tenants ask most, evenings are busy; the same for the same day."""
    chance = random.Random(day.seed)
    # of tokens: half are below 600, one in a hundred is above 4,900
    lengths = [math.exp(chance.gauss(6.4, 0.9)) for _ in range(20_000)]
    mean_s = sum(lengths) / len(lengths) / TOKENS_PER_S
    count = int(day.load * day.slots * day.hours * 3_600.0 / mean_s)
    names = list(accumulate(1 / (1 + i) for i in range(day.tenants)))
    found: list[tuple[float, Pair]] = []
    while len(found) < count:
        lane = chance.choices(range(LANES), day.shares)[0]
        tenant = f"t{bisect_right(names, chance.random() * names[-1])}"
        burst = 1 if lane != BATCH else min(chance.randrange(1, 40 * day.slots), count - len(found))
        # a burst counts for all its requests, so that the lanes keep their shares
        if burst > 1 and chance.random() * burst > 1:
            continue
        at = _moment(chance, day.hours)
        found += [(at, Pair(lane, tenant))] * burst
    made = []
    for pk, (at, pair) in enumerate(sorted(found), 1):
        tokens = int(chance.choice(lengths)) + 1
        made.append(Arrival(at, pair, Waiting(at + PATIENCE_S, pk, tokens, at), tokens / TOKENS_PER_S))
    return made


def _moment(chance: random.Random, hours: float) -> float:
    """As many more in the busiest hour as fewer in the quietest: a sine of half the mean."""
    while True:
        share = chance.random()
        if chance.random() * 1.5 <= 1 - 0.5 * math.cos(2 * math.pi * share):
            return share * hours * 3_600.0


class Backlog:
    """The ledger's rows that wait. Answers what `store.ledger.choose` asks of the index, in the same shares."""

    def __init__(self) -> None:
        self.queues = Queues()
        self.last_realtime = -math.inf

    def add(self, what: Arrival) -> None:
        self.queues.add(what.pair, what.row)
        if what.pair.lane == 0:
            self.last_realtime = what.at

    def first(self, rooms: Sequence[int]) -> tuple[list[tuple[Pair, Waiting]], set[Pair]]:
        """The first rows of each tenant, and who has more."""
        found: list[tuple[Pair, Waiting]] = []
        cut: set[Pair] = set()
        for lane, tenants in enumerate(self.queues.lanes):
            share = rooms[lane] // max(1, min(len(tenants), TENANTS)) + FEW
            for tenant in sorted(tenants)[:TENANTS]:
                rows = tenants[tenant][:share]
                found += [(Pair(lane, tenant), row) for row in rows]
                if len(rows) == share:
                    cut.add(Pair(lane, tenant))
        return found, cut


class Worker:
    """One process: its shelf, its order, and the slots that it has. Slots are shared out evenly at the start."""

    def __init__(self, rules: Rules, slots: int, reserved: int) -> None:
        self.order, self.held = Order(rules), Queues()
        self.total = slots
        self.free, self.kept = slots - reserved, reserved
        self.lent = False
        self.dirty = False

    def is_due(self) -> bool:
        """As `Shelf.is_due`."""
        return self.dirty or sum(self.held.counts()) * 2 <= self.total

    def claim(self, backlog: Backlog, now: float) -> None:
        """What would be picked next, of what waits and what is held."""
        self.dirty = False
        held, idle = self.held.counts(), self.free + self.kept
        count = idle + self.total
        rooms = [max(0, count - sum(held[: lane + 1])) for lane in range(LANES)]
        found, cut = backlog.first(rooms)
        came = now - backlog.last_realtime < self.order.rules.lend_after_s
        self.lent = not came and not held[0] and not any(pair.lane == 0 for pair, _ in found)
        if sum(held) >= MOST_HELD * count:
            return
        planned = set(plan(self.order, self.held, found, count, now, cut).pks)
        for pair, row in found:
            if row.pk in planned:
                backlog.queues.remove(pair, row)
                self.held.add(pair, row)

    def begin(self, now: float) -> Iterator[tuple[Pair, Waiting, bool]]:
        """Rows that begin now, and whether on a reserved slot."""
        while self.free or self.kept:
            lent = self.lent and not self.held.lanes[0]
            taken = self.order.take(self.held, now, ALL if self.free or lent else URGENT)
            if taken is None:
                return
            pair, row = taken
            reserved = self.kept > 0 and (pair.lane != BATCH or not self.free)
            self.kept -= reserved
            self.free -= not reserved
            yield pair, row, reserved


Place = Callable[[Arrival, float], float]
"""The seam for the placement of models: given a request that begins and the time, the seconds until its model is loaded on
the node that takes it. Whoever places counts its loads itself.
"""


def loaded_everywhere(_what: Arrival, _now: float) -> float:
    """One model, on all nodes."""
    return 0.0


@dataclass
class Outcome:
    """What a day was like."""

    waits: tuple[list[float], ...] = field(default_factory=lambda: ([], [], []))
    tokens: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0
    backlog: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    at_work: list[tuple[float, int]] = field(default_factory=list)
    """Slots, over time."""
    ended_at: float = 0.0


def simulate(day: Day, coming: Sequence[Arrival], place: Place = loaded_everywhere) -> Outcome:
    """All that comes is served; the day ends when the last one is."""
    backlog, outcome = Backlog(), Outcome()
    crew = _crew(day)
    by_pk = {what.row.pk: what for what in coming}
    ending: list[tuple[float, int, int, bool]] = []
    upcoming = iter([*coming, None])
    following = next(upcoming)
    sampled = 0.0
    while following is not None or ending:
        now = min(following.at if following else math.inf, ending[0][0] if ending else math.inf)
        while ending and ending[0][0] <= now:
            _, _, which, reserved = heapq.heappop(ending)
            crew[which].kept += reserved
            crew[which].free += not reserved
        arrived = False
        while following is not None and following.at <= now:
            backlog.add(following)
            outcome.asked[following.pair.tenant] += following.row.weight
            following, arrived = next(upcoming), True
        for which in _in_turn(crew, now):
            worker = crew[which]
            worker.dirty |= arrived  # everybody is told
            if worker.is_due() and any(backlog.queues.lanes):
                worker.claim(backlog, now)
            for pair, row, reserved in worker.begin(now):
                what = by_pk[row.pk]
                outcome.waits[pair.lane].append(now - what.at)
                outcome.tokens[pair.tenant] += row.weight
                takes = place(what, now) + what.takes_s
                outcome.busy_s += takes
                heapq.heappush(ending, (now + takes, row.pk, which, reserved))
        if now >= sampled:
            sampled = now + day.hours * 3_600.0 / 200
            outcome.at_work.append((now / 3_600.0, len(ending)))
            for lane in range(LANES):
                held = sum(worker.held.counts()[lane] for worker in crew)
                outcome.backlog[lane].append((now / 3_600.0, held + backlog.queues.counts()[lane]))
        outcome.ended_at = now
    return outcome


def _crew(day: Day) -> list[Worker]:
    """Slots dealt out in turn; the first fifth of them is reserved."""
    crew = min(day.workers, day.slots)
    slots, reserved = [0] * crew, [0] * crew
    for number in range(day.slots):
        slots[number % crew] += 1
        reserved[number % crew] += number < day.slots // 5
    return [Worker(day.rules, mine, kept) for mine, kept in zip(slots, reserved, strict=True)]


def _in_turn(crew: Sequence[Worker], now: float) -> list[int]:
    """Another one first each time: nobody is always the first at the ledger."""
    first = int(now * 1_000) % len(crew)
    return [*range(first, len(crew)), *range(first)]
