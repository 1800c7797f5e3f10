"""When a waiting request will be answered: the picks before it, over the rate of its pool, and then one call. Pure.

Which row is picked next is not arrival alone. Lanes that have rows share the picks by weight, and inside a lane the tenants
that have rows take turns. So by the time a tenant's row number `n` is picked every other tenant of the lane had `n` picks or
as many as it had rows, and every other lane its weight's share or as many as it had rows. Rows are taken to be of one size,
and a tenant's to be picked as they came.

Others go on sending: what comes steadily is picked too, in its turn. That makes the moment of the pick the fixed point of
`rate * t = picks(t)`; `picks` is concave and bounded, so there is one, and bisection finds it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.rate import Rate

WEIGHTS = (8, 3, 1)
_HALVINGS = 48
_Lanes = tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]
_Rates = tuple[Mapping[str, float], Mapping[str, float], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """What stands in one pool: rows that wait by lane and tenant, rows per second that go on coming, slots without a call."""

    waiting: _Lanes = ({}, {}, {})
    arriving: _Rates = field(default=({}, {}, {}))
    free: int = 0

    def count(self, lane: int) -> int:
        """Rows of a lane."""
        return sum(self.waiting[lane].values())


def picks(line: Line, lane: int, tenant: str, ahead: int, after_s: float = 0.0) -> float:
    """Picks up to and with the row that has `ahead` rows of its own tenant before it, as far as rows are there `after_s`
    seconds from now.
    """
    own = ahead + 1 + _others(line, lane, tenant, ahead, after_s)
    return own + sum(_of_lane(line, other, own / WEIGHTS[lane], after_s) for other in range(3) if other != lane)


def _others(line: Line, lane: int, tenant: str, ahead: int, after_s: float) -> float:
    """The other tenants' turns; who begins the round is not known, so that half a turn more is taken."""
    waiting, arriving = line.waiting[lane], line.arriving[lane]
    turns = ahead + 0.5
    found = sum(
        min(count + arriving.get(name, 0.0) * after_s, turns) for name, count in waiting.items() if name != tenant
    )
    coming = (rate for name, rate in arriving.items() if name not in waiting and name != tenant)
    return found + sum(min(rate * after_s, turns) for rate in coming)


def _of_lane(line: Line, lane: int, turns: float, after_s: float) -> float:
    """What another lane gets while ours gets `turns` for each of its weight."""
    there = line.count(lane) + sum(line.arriving[lane].values()) * after_s
    return min(there, turns * WEIGHTS[lane])


def position(line: Line, lane: int, tenant: str, ahead: int) -> int:
    """From 1, among what waits now."""
    return max(1, math.floor(picks(line, lane, tenant, ahead)))


def pick_s(line: Line, rate: float, lane: int, tenant: str, ahead: int) -> float:
    """Seconds until it is picked."""

    def left(after_s: float) -> float:
        return picks(line, lane, tenant, ahead, after_s) - line.free - rate * after_s

    if left(0.0) <= 0:
        return 0.0
    low, high = 0.0, _most(line, lane, tenant, ahead) / rate
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if left(middle) > 0:
            low = middle
        else:
            high = middle
    return high


def _most(line: Line, lane: int, tenant: str, ahead: int) -> float:
    """Picks when nobody else ever runs out of rows."""
    tenants = line.waiting[lane].keys() | line.arriving[lane].keys() | {tenant}
    return (ahead + 1.0) * len(tenants) * sum(WEIGHTS) / WEIGHTS[lane]


def answer_s(line: Line, rate: Rate, lane: int, tenant: str, ahead: int) -> float:
    """Seconds until it is answered."""
    return pick_s(line, rate.per_s, lane, tenant, ahead) + rate.call_s


def newcomer_s(line: Line, rate: Rate, lane: int, tenant: str | None = None) -> float:
    """The same for one that comes now; without a tenant, of the one that has the most waiting."""
    waiting = line.waiting[lane]
    if tenant is None:
        tenant = max(waiting, key=lambda name: waiting[name], default="")
    return answer_s(line, rate, lane, tenant, waiting.get(tenant, 0))


def all_s(line: Line, rate: Rate, lane: int) -> float:
    """Seconds until all that waits in a lane now is answered; 0 when nothing does."""
    count = line.count(lane)
    if not count:
        return 0.0
    return answer_s(_as_one(line, lane), rate, lane, "", count - 1)


def drop_s(line: Line, rate: float, lane: int, count: int) -> float:
    """Seconds until `count` rows of a lane are picked, whosever they are."""
    return pick_s(_as_one(line, lane), rate, lane, "", max(0, count - 1))


def _as_one(line: Line, lane: int) -> Line:
    """The lane's tenants as one that has all the rows; what comes later to this lane stands behind them."""
    mine = {"": line.count(lane)}
    none: Mapping[str, float] = {}
    waiting = tuple(mine if at == lane else each for at, each in enumerate(line.waiting))
    arriving = tuple(none if at == lane else each for at, each in enumerate(line.arriving))
    return Line((waiting[0], waiting[1], waiting[2]), (arriving[0], arriving[1], arriving[2]), line.free)
