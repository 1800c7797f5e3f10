"""What waits, for people: the ledger's look made into lanes and pools with their rates and estimates, and one request's place."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from schemas.request import LANE_NAMES
from store.ledger import parked
from store.ledger.backlog import Backlog, Done, Standing
from store.ledger.types.claims import Pool
from streams import eta, rate, requested
from streams.eta import Line
from streams.lag import Lag
from streams.rate import Rate

T = TypeVar("T")
Arrived = tuple[Pool, int, str, float]
MOST = 100
"""Pools that are told one by one; whoever wants another one names it."""
FILTERS = ("provider", "model", "lane", "tenant")
_QUEUED = frozenset({"waiting", "leased"})
"""A leased one waits too: for a slot, at a worker."""
_UNMEASURED = "nothing was answered in the last quarter of an hour"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of it. None: all."""

    provider: str | None = None
    model: str | None = None
    lane: int | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        for name in ("provider", "model", "tenant"):
            requested.named(name, getattr(self, name))

    def has(self, pool: Pool) -> bool:
        return self.provider in {None, pool[0]} and self.model in {None, pool[1]}

    def narrows_pools(self) -> bool:
        """What is in Kafka was not read yet: nobody knows its pool or its tenant."""
        return (self.provider, self.model, self.tenant) != (None, None, None)


EVERYTHING = Wanted()


def wanted(told: Mapping[str, str | None]) -> Wanted:
    """From `FILTERS`, any of which may be missing. Raises ValueError with a sentence."""
    return Wanted(told.get("provider"), told.get("model"), requested.lane(told.get("lane")), told.get("tenant"))


@dataclass(frozen=True, slots=True)
class PoolState:
    """One pool, as an estimate sees it. `rate` None: nothing is known."""

    line: Line
    rate: Rate | None
    slots: int
    running: int


@lru_cache(maxsize=2)
def pools(found: Backlog) -> Mapping[Pool, PoolState]:
    """Every pool that has slots, or rows, or answered lately. Many ask about one look."""
    standing = _by_pool((each.pool, each) for each in found.standing)
    done = _by_pool((each.pool, each) for each in found.done)
    arrived = _by_pool((each[0], each) for each in found.arrived)
    names = sorted(standing.keys() | done.keys() | found.slots.keys())
    return {
        pool: _state(found, pool, standing.get(pool, []), done.get(pool, []), arrived.get(pool, [])) for pool in names
    }


def _by_pool(found: Iterable[tuple[Pool, T]]) -> dict[Pool, list[T]]:
    by: dict[Pool, list[T]] = {}
    for pool, each in found:
        by.setdefault(pool, []).append(each)
    return by


def _state(
    found: Backlog, pool: Pool, mine: Sequence[Standing], done: Sequence[Done], arrived: Sequence[Arrived]
) -> PoolState:
    waiting: list[defaultdict[str, int]] = [defaultdict(int) for _ in LANE_NAMES]
    for each in mine:
        if each.state in _QUEUED:
            waiting[each.lane][each.tenant] += each.count
    coming: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in LANE_NAMES]
    for _, lane, tenant, moment in arrived:
        coming[lane][tenant].append(moment)
    steady = [{name: rate.steady(moments, found.at) for name, moments in lane.items()} for lane in coming]
    running = sum(each.count for each in mine if each.state == "calling")
    slots, _ = found.slots.get(pool, (0, 0))
    line = Line((waiting[0], waiting[1], waiting[2]), (steady[0], steady[1], steady[2]), max(0, slots - running))
    ready = [each.oldest for each in mine if each.state in _QUEUED and not each.delayed]
    known = rate.measure(
        done, slots=slots, now=found.at, waiting_since=min(ready, default=None), since=found.since.get(pool)
    )
    return PoolState(line, known, slots, running)


def listed(found: Backlog, known: Collection[Pool]) -> list[Pool]:
    """Of these the `MOST` that have rows or slots in use, were used last, or answered last; by name."""
    busy = {each.pool for each in found.standing} | {pool for pool, (_, used) in found.slots.items() if used}
    lately = [*found.slots, *(each.pool for each in reversed(found.done))]
    order = dict.fromkeys(pool for pool in (*sorted(busy), *lately) if pool in known)
    return sorted(list(order)[:MOST])


def place(found: Backlog, row: Any, ahead: int, begun: float | None = None) -> dict[str, Any]:
    """Of an unfinished request: `position` and `eta_s`, seconds until it is answered; null where that is not known, and why.

    `ahead`: rows of its own tenant before it; `begun`: when its first call was, if it runs.
    """
    pool = row.provider, row.model
    state = pools(found).get(pool) or _state(found, pool, (), (), [each for each in found.arrived if each[0] == pool])
    if row.state == "held":
        return _place(None, None, "it is held until somebody decides")
    if row.owner == parked.OWNER:
        return _place(None, None, "its call lies in a provider's batch, which is answered within a day")
    if state.rate is None:
        position = None if row.state == "calling" else eta.position(_with(state.line, row), row.lane, row.tenant, ahead)
        return _place(position, None, _UNMEASURED)
    if row.state == "calling":
        rest = state.rate.rest_s(max(0.0, found.at - (begun or found.at)))
        return _place(0, rest, "" if rest is not None else "it takes longer than any that ended lately")
    line = _with(state.line, row)
    seconds = eta.answer_s(line, state.rate, row.lane, row.tenant, ahead)
    if row.not_before > found.at:
        seconds = max(seconds, row.not_before - found.at + state.rate.call_s)
    return _place(eta.position(line, row.lane, row.tenant, ahead), seconds, "")


def _with(line: Line, row: Any) -> Line:
    """The request itself may have come after the look."""
    if row.tenant in line.waiting[row.lane]:
        return line
    lanes = [dict(each) for each in line.waiting]
    lanes[row.lane][row.tenant] = 1
    return Line((lanes[0], lanes[1], lanes[2]), line.arriving, line.free)


def _place(position: int | None, seconds: float | None, why: str) -> dict[str, Any]:
    return {"position": position, "eta_s": _rounded(seconds), "why": why}


def lanes(found: Backlog) -> dict[str, dict[str, Any]]:
    """Each lane over all pools, by its name; what is in Kafka is not asked."""
    return {name: _lane(found, pools(found), lane, EVERYTHING, None, {}) for lane, name in enumerate(LANE_NAMES)}


def report(found: Backlog, lag: Lag, wanted: Wanted = EVERYTHING) -> dict[str, Any]:
    """As `/v1/queue` and `genai-spine queue --json` tell it."""
    known = {pool: state for pool, state in pools(found).items() if wanted.has(pool)}
    unread = _unread(lag, wanted)
    shares = _shares(known, unread)
    numbers = [lane for lane in range(len(LANE_NAMES)) if wanted.lane in {None, lane}]
    shown = [_lane(found, known, lane, wanted, unread.get(lane), shares) for lane in numbers]
    kafka = {"ok": not lag.why, "why": lag.why}
    if not lag.why and wanted.narrows_pools():
        kafka = {"ok": True, "why": "what is in Kafka is of no tenant, provider or model until it is read"}
    return {
        "at": datetime.fromtimestamp(found.at, UTC).isoformat(timespec="milliseconds"),
        "kafka": kafka,
        "lanes": [
            {"lane": LANE_NAMES[lane], **one, **_operations(lag, lane, unread)}
            for lane, one in zip(numbers, shown, strict=True)
        ],
        "pools": [
            _told(found, pool, known[pool], numbers, wanted, shares.get(pool, {})) for pool in listed(found, known)
        ],
        "pools_in_all": len(known),
        "all": _all(shown),
    }


def _unread(lag: Lag, wanted: Wanted) -> dict[int, int]:
    """Lane -> records; empty where that is not known."""
    return {} if lag.why or wanted.narrows_pools() else {lane: sum(by.values()) for lane, by in lag.records.items()}


def _operations(lag: Lag, lane: int, unread: Mapping[int, int]) -> dict[str, Any]:
    by = {name: count for name, count in lag.records.get(lane, {}).items() if count} if lane in unread else {}
    return {"in_kafka_by_operation": by}


def _shares(known: Mapping[Pool, PoolState], unread: Mapping[int, int]) -> dict[Pool, dict[int, int]]:
    """Records in Kafka, dealt out as what waits and was answered lately is."""
    found: dict[Pool, dict[int, int]] = {}
    for lane, records in unread.items():
        weights = {
            pool: state.line.count(lane) + (state.rate.lanes[lane] if state.rate else 0.0)
            for pool, state in known.items()
        }
        whole = sum(weights.values())
        for pool, weight in weights.items():
            part = weight / whole if whole else 1 / len(weights)
            found.setdefault(pool, {})[lane] = round(records * part)
    return found


def _counts(standing: Iterable[Standing], at: float) -> dict[str, Any]:
    """Rows by where they stand."""
    mine = list(standing)
    waits = [each for each in mine if each.state in _QUEUED]
    oldest = min((each.oldest for each in waits), default=None)
    return {
        "waiting": sum(each.count for each in waits if not each.delayed),
        "delayed": sum(each.count for each in waits if each.delayed),
        "running": sum(each.count for each in mine if each.state == "calling"),
        "held": sum(each.count for each in mine if each.state == "held"),
        "oldest_s": None if oldest is None else _rounded(max(0.0, at - oldest)),
    }


def _lane(
    found: Backlog,
    known: Mapping[Pool, PoolState],
    lane: int,
    wanted: Wanted,
    unread: int | None,
    shares: Mapping[Pool, Mapping[int, int]],
) -> dict[str, Any]:
    """A lane over its pools: the slowest of those that have something to do says when."""
    mine = [
        each
        for each in found.standing
        if each.lane == lane and each.pool in known and wanted.tenant in {None, each.tenant}
    ]
    busy = [pool for pool, state in known.items() if state.line.count(lane) or shares.get(pool, {}).get(lane)]
    looked = busy or [pool for pool, state in known.items() if state.rate is not None]
    each = [_estimates(known[pool], lane, wanted, shares.get(pool, {})) for pool in looked]
    rates = [state.rate.lanes[lane] for state in known.values() if state.rate is not None]
    return {
        "in_kafka": unread,
        **_counts(mine, found.at),
        "rate_per_s": _rounded(sum(rates)) if rates else None,
        "eta_s": _worst(one["eta_s"] for one in each),
        "done_s": _worst(one["done_s"] for one in each) if busy else None if unread else 0.0,
    }


def _estimates(state: PoolState, lane: int, wanted: Wanted, unread: Mapping[int, int]) -> dict[str, Any]:
    """`eta_s`: until one that comes to the ledger now is answered; `done_s`: until all that is there now is."""
    line, others = _longer(state.line, unread), {other: count for other, count in unread.items() if other != lane}
    if state.rate is None:
        return {"eta_s": None, "done_s": None if line.count(lane) else 0.0}
    return {
        "eta_s": _rounded(eta.newcomer_s(_longer(state.line, others), state.rate, lane, wanted.tenant)),
        "done_s": _rounded(eta.all_s(line, state.rate, lane)),
    }


def _longer(line: Line, unread: Mapping[int, int]) -> Line:
    """With what is still in Kafka, as rows of nobody known."""
    lanes = [dict(each) for each in line.waiting]
    for lane, count in unread.items():
        if count:
            lanes[lane][""] = lanes[lane].get("", 0) + count
    return Line((lanes[0], lanes[1], lanes[2]), line.arriving, line.free)


def _told(
    found: Backlog, pool: Pool, state: PoolState, lanes: list[int], wanted: Wanted, unread: Mapping[int, int]
) -> dict[str, Any]:
    def lane(number: int) -> dict[str, Any]:
        mine = [
            each
            for each in found.standing
            if each.pool == pool and each.lane == number and wanted.tenant in {None, each.tenant}
        ]
        per_s = None if state.rate is None else _rounded(state.rate.lanes[number])
        return {
            "lane": LANE_NAMES[number],
            **_counts(mine, found.at),
            "rate_per_s": per_s,
            **_estimates(state, number, wanted, unread),
        }

    return {
        "provider": pool[0],
        "model": pool[1],
        "slots": state.slots,
        "running": state.running,
        "rate_per_s": None if state.rate is None else _rounded(state.rate.per_s),
        "call_s": None if state.rate is None else _rounded(state.rate.call_s),
        "measured": 0 if state.rate is None else len(state.rate.works),
        "why": _UNMEASURED if state.rate is None else "",
        "lanes": [lane(number) for number in lanes],
    }


def _all(lanes: list[dict[str, Any]]) -> dict[str, Any]:
    """All lanes that are shown, together."""
    unread = [lane["in_kafka"] for lane in lanes]
    ages = [lane["oldest_s"] for lane in lanes if lane["oldest_s"] is not None]
    rates = [lane["rate_per_s"] for lane in lanes if lane["rate_per_s"] is not None]
    sums = {name: sum(lane[name] for lane in lanes) for name in ("waiting", "delayed", "running", "held")}
    return {
        "in_kafka": None if None in unread else sum(unread),
        **sums,
        "oldest_s": max(ages, default=None),
        "rate_per_s": _rounded(sum(rates)) if rates else None,
        "done_s": _worst(lane["done_s"] for lane in lanes),
    }


def _worst(found: Iterable[float | None]) -> float | None:
    """One that is not known makes all of it unknown."""
    listed = list(found)
    return None if not listed or None in listed else max(each for each in listed if each is not None)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
