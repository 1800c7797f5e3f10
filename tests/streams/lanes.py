"""A pool on a virtual clock: arrivals and work by a seed, slots, lanes 8:3:1, tenants in turn. Written apart from the estimate."""

import heapq
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from store.ledger.backlog import SAMPLE, Done

WEIGHTS = (8, 3, 1)


@dataclass
class Row:
    lane: int
    tenant: str
    accepted_at: float
    work_s: float
    opened_at: float = 0.0
    closed_at: float = 0.0


@dataclass
class Pool:
    """`on_arrival` is told of each row after it has joined, and before anybody picks."""

    slots: int
    chance: random.Random
    on_arrival: Callable[["Pool", Row], None] = lambda _pool, _row: None
    now: float = 0.0
    queues: list[dict[str, deque[Row]]] = field(default_factory=lambda: [defaultdict(deque) for _ in range(3)])
    running: list[tuple[float, int, Row]] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    credit: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    served: list[dict[str, int]] = field(default_factory=lambda: [defaultdict(int) for _ in range(3)])
    arrived: list[Row] = field(default_factory=list)

    def work(self, mean_s: float) -> float:
        """As the double's: one in twenty takes ten times as long; the others spread a little."""
        usual = mean_s * self.chance.uniform(0.6, 1.4)
        return usual * 10 if self.chance.random() < 0.05 else usual

    def run(self, arrivals: list[Row]) -> None:
        """All of them, in their order, to the last answer."""
        coming = deque(sorted(arrivals, key=lambda row: row.accepted_at))
        while coming or self.running:
            if coming and (not self.running or coming[0].accepted_at <= self.running[0][0]):
                row = coming.popleft()
                self.now = row.accepted_at
                self._join(row)
                self.on_arrival(self, row)
            else:
                self.now, _, row = heapq.heappop(self.running)
                row.closed_at = self.now
                self.ended.append(row)
            self._begin()

    def _join(self, row: Row) -> None:
        served = self.served[row.lane]
        if not self.queues[row.lane][row.tenant]:
            others = [served[name] for name, queue in self.queues[row.lane].items() if queue]
            served[row.tenant] = max(served[row.tenant], min(others, default=0))
        self.queues[row.lane][row.tenant].append(row)
        self.arrived.append(row)

    def _begin(self) -> None:
        while len(self.running) < self.slots and (row := self._pick()) is not None:
            row.opened_at = self.now
            heapq.heappush(self.running, (self.now + row.work_s, id(row), row))

    def _pick(self) -> Row | None:
        ready = [lane for lane in range(3) if any(self.queues[lane].values())]
        if not ready:
            return None
        for lane in ready:
            self.credit[lane] += WEIGHTS[lane]
        best = max(ready, key=lambda lane: (self.credit[lane], -lane))
        self.credit[best] -= sum(WEIGHTS[lane] for lane in ready)
        queues, served = self.queues[best], self.served[best]
        tenant = min((name for name, queue in queues.items() if queue), key=lambda name: served[name])
        served[tenant] += 1
        return queues[tenant].popleft()

    def waiting(self) -> tuple[dict[str, int], ...]:
        return tuple({name: len(queue) for name, queue in lane.items() if queue} for lane in self.queues)

    def answers(self, most: int = SAMPLE) -> list[Done]:
        return [Done(("p", "m"), r.lane, r.accepted_at, r.opened_at, r.closed_at, r.work_s) for r in self.ended[-most:]]


def poisson(chance: random.Random, per_s: float, until_s: float) -> list[float]:
    found, at = [], chance.expovariate(per_s)
    while at < until_s:
        found.append(at)
        at += chance.expovariate(per_s)
    return found
