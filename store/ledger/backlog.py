"""What waits and what was answered lately, by pool, lane and tenant: what an estimate is made of.

For people who look, never for the hot path. Each statement reads a bounded number of entries of one index, however many
requests there are; where more wait than `MOST`, so many at least are told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Double, Row, and_, bindparam, func, select, text, tuple_

from store import rows
from store.database import now
from store.ledger import parked, queries
from store.ledger.types.claims import Pool
from store.tables import CLAIMABLE, executions, requests

_R = requests.c
_E = executions.c

MOST = 50_000
"""Rows of one state that are counted."""
SCAN = 10_000
"""Calls that are looked at, the latest ones of all pools."""
SAMPLE = 400
"""Of them, for one pool."""
ARRIVED_S = 300.0
STANDING = ("waiting", "leased", "calling", "held")


@dataclass(frozen=True, slots=True)
class Standing:
    """Rows of one pool, lane and tenant in one state. `delayed`: they wait for a moment, to be tried again."""

    pool: Pool
    lane: int
    tenant: str
    state: str
    delayed: bool
    count: int
    oldest: float
    """When the oldest was accepted."""


@dataclass(frozen=True, slots=True)
class Done:
    """A request whose last call ended lately."""

    pool: Pool
    lane: int
    accepted_at: float
    opened_at: float
    closed_at: float
    work_s: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """One look. `since`: of a pool, no call that ended before was looked at; `arrived`: (pool, lane, tenant, moment) of new rows."""

    at: float
    standing: tuple[Standing, ...]
    done: tuple[Done, ...]
    since: dict[Pool, float]
    arrived: tuple[tuple[Pool, int, str, float], ...]
    slots: dict[Pool, tuple[int, int]]
    """Pool -> (slots, in use)."""


def look(conn: Connection, window_s: float) -> Backlog:
    """One transaction, nothing locked."""
    at = now(conn)
    calls, since = _calls(conn, at - window_s)
    slots = {(row.provider, row.model): (int(row.total), int(row.used)) for row in queries.running(conn)}
    return Backlog(at, _standing(conn), _done(conn, calls), since, _arrived(conn, at - ARRIVED_S), slots)


def _some(state: str) -> Any:
    """The oldest rows of a state, in the order of its index."""
    shown = (_R.provider, _R.model, _R.lane, _R.tenant, _R.accepted_at, (_R.not_before > 0).label("delayed"))
    here = _R.state == state
    if state == "calling":  # what lies in a provider's batch holds no slot
        here &= _R.owner.is_distinct_from(parked.OWNER)
    some = select(*shown).where(here).order_by(_R.state, _R.accepted_at).limit(MOST).subquery()
    group = (some.c.provider, some.c.model, some.c.lane, some.c.tenant, some.c.delayed)
    return select(*group, func.count().label("many"), func.min(some.c.accepted_at).label("oldest")).group_by(*group)


_STANDING = {state: _some(state) for state in STANDING}


def _standing(conn: Connection) -> tuple[Standing, ...]:
    return tuple(
        Standing((r.provider, r.model), r.lane, r.tenant, state, bool(r.delayed), int(r.many), float(r.oldest))
        for state, statement in _STANDING.items()
        for r in conn.execute(statement)
    )


_LATEST = (
    select(_E.request_pk, _E.generation, _E.provider, _E.model, _E.opened_at, _E.closed_at)
    .where(text("closed_at IS NOT NULL"), _E.closed_at >= bindparam("since"), _E.kind != "batch")
    .order_by(_E.closed_at.desc())
    .limit(SCAN)
    .subquery()
)
_NUMBERED = select(
    _LATEST,
    func.row_number()
    .over(partition_by=(_LATEST.c.provider, _LATEST.c.model), order_by=_LATEST.c.closed_at.desc())
    .label("place"),
    func.count().over().label("whole"),
    func.min(_LATEST.c.closed_at).over().label("first"),
).subquery()
_SAMPLE = select(_NUMBERED).where(_NUMBERED.c.place <= SAMPLE)
_ENDED = select(_R.pk, _R.generation, _R.lane, _R.accepted_at).where(
    _R.pk.in_(bindparam("the_pks", expanding=True)), _R.completed_at.is_not(None)
)


def _calls(conn: Connection, since: float) -> tuple[list[Row[Any]], dict[Pool, float]]:
    """The latest calls of each pool, and from when on they are all there."""
    found = list(conn.execute(_SAMPLE, {"since": since}))
    mine: dict[Pool, list[Row[Any]]] = {}
    for call in found:
        mine.setdefault((call.provider, call.model), []).append(call)
    begin = {
        pool: min(call.closed_at for call in calls)
        if len(calls) >= SAMPLE
        else max(since, calls[0].first if calls[0].whole >= SCAN else since)
        for pool, calls in mine.items()
    }
    return found, begin


def _done(conn: Connection, calls: Sequence[Row[Any]]) -> tuple[Done, ...]:
    """Calls to requests: those that have ended, each with all of its calls that were found."""
    of: dict[tuple[int, int], list[Row[Any]]] = {}
    for call in calls:
        of.setdefault((call.request_pk, call.generation), []).append(call)
    pks = sorted({pk for pk, _ in of})
    found: list[Done] = []
    for start in range(0, len(pks), 1024):
        for row in conn.execute(_ENDED, {"the_pks": rows.padded(pks[start : start + 1024])}):
            mine = of.get((row.pk, row.generation))
            if mine:
                found.append(_one(row, mine))
    return tuple(sorted(found, key=lambda done: done.closed_at))


def _one(row: Any, calls: Sequence[Any]) -> Done:
    work = sum(max(0.0, call.closed_at - call.opened_at) for call in calls)
    first, last = min(call.opened_at for call in calls), max(call.closed_at for call in calls)
    return Done((calls[0].provider, calls[0].model), row.lane, row.accepted_at, first, last, work)


_NEW = (
    select(_R.provider, _R.model, _R.lane, _R.tenant, _R.accepted_at)
    .where(_R.accepted_at >= bindparam("since"))
    .order_by(_R.accepted_at.desc(), _R.pk.desc())
    .limit(SCAN)
)


def _arrived(conn: Connection, since: float) -> tuple[tuple[Pool, int, str, float], ...]:
    return tuple(((r.provider, r.model), r.lane, r.tenant, r.accepted_at) for r in conn.execute(_NEW, {"since": since}))


_LEASED = and_(_R.state == "leased", _R.provider == bindparam("p"), _R.model == bindparam("m"))
_MINE = and_(
    _R.lane.between(bindparam("l"), bindparam("l")),
    _R.tenant == bindparam("t"),
    tuple_(_R.due, _R.pk) < tuple_(bindparam("due", type_=Double()), bindparam("k", type_=BigInteger())),
)
_WAITS = and_(CLAIMABLE, _R.provider == bindparam("p"), _R.model == bindparam("m"))
_BEFORE = {
    name: select(func.count()).select_from(select(_R.pk).where(condition, _MINE).limit(MOST).subquery())
    for name, condition in (("leased", _LEASED), ("waiting", _WAITS))
}


def ahead(conn: Connection, row: Any) -> int:
    """Rows of the same pool, lane and tenant that are picked before this one."""
    told = {"p": row.provider, "m": row.model, "l": row.lane, "t": row.tenant, "due": row.due, "k": row.pk}
    return sum(int(conn.execute(statement, told).scalar_one()) for statement in _BEFORE.values())


_BEGUN = select(func.min(_E.opened_at)).where(_E.request_pk == bindparam("k"), _E.generation == bindparam("g"))


def begun(conn: Connection, row: Any) -> float | None:
    """When the first call of this generation began; None: none has."""
    found = conn.execute(_BEGUN, {"k": row.pk, "g": row.generation}).scalar_one()
    return None if found is None else float(found)


_NAMED = select(_R.pk).where(_R.identity == bindparam("identity"))


def is_known(conn: Connection, tenant: str, operation: str, id_: str) -> bool:
    """Whether there is a request of that name."""
    return conn.execute(_NAMED, {"identity": rows.identity(tenant, operation, id_)}).first() is not None
