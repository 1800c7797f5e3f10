"""What waits and what was answered lately, by pool, lane and tenant: what an estimate is made of.

For people who look, never for the hot path. Each statement reads entries of one index, no more of them however many requests
have ended; where more than `MOST` are held, leased, called or wait for something, so many at least are told.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Select,
    TextClause,
    and_,
    bindparam,
    func,
    select,
    text,
    tuple_,
)

from store import rows
from store.database import now
from store.ledger import parked, queries
from store.ledger.types.claims import Pool
from store.tables import BEHIND, CLAIMABLE, DELAYED, executions, requests

_R = requests.c
_E = executions.c

MOST = 50_000
"""Rows of one state that are counted."""
SCAN = 10_000
"""New rows that are looked at."""
CALLS = 5_000
"""Calls that are looked at, the latest ones of all pools."""
SAMPLE = 400
"""Of them, for one pool."""
ARRIVED_S = 300.0


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


class Done(NamedTuple):
    """A request whose last call ended lately."""

    pool: Pool
    lane: int
    accepted_at: float
    opened_at: float
    closed_at: float
    work_s: float


class _Call(NamedTuple):
    request_pk: int
    generation: int
    provider: str
    model: str
    opened_at: float
    closed_at: float


@dataclass(frozen=True, eq=False, slots=True)
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


_SHOWN = (_R.provider, _R.model, _R.lane, _R.tenant, _R.accepted_at)


def _grouped(some: Any, *more: ColumnElement[Any]) -> Select[Any]:
    group = (some.provider, some.model, some.lane, some.tenant, *more)
    return select(*group, func.count().label("many"), func.min(some.accepted_at).label("oldest")).group_by(*group)


def _first(condition: TextClause, *by: ColumnElement[Any]) -> Select[Any]:
    """Of those that wait for something, the first ones in the order of their index."""
    return _grouped(select(*_SHOWN).where(condition).order_by(*by).limit(MOST).subquery().c)


def _some(state: str, *more: ColumnElement[bool]) -> Select[Any]:
    """The oldest rows of a state, in the order of its index. The state is a word of the statement: for a bound value
    PostgreSQL's generic plan expects a third of all rows, and reads the table for a state that no row is in.
    """
    some = select(*_SHOWN, (_R.not_before > 0).label("delayed")).where(text(f"state = '{state}'"), *more)
    found = some.order_by(_R.state, _R.accepted_at).limit(MOST).subquery().c
    return _grouped(found, found.delayed)


_OURS = _R.owner.is_distinct_from(parked.OWNER)
"""What lies in a provider's batch holds no slot."""
_STANDING = {
    dialect: (
        ("waiting", _grouped(_R).where(rows.usual(CLAIMABLE, dialect)), False),
        ("waiting", _first(rows.usual(BEHIND, dialect), _R.behind, _R.accepted_at), False),
        ("waiting", _first(rows.usual(DELAYED, dialect), _R.not_before), True),
        ("leased", _some("leased"), None),
        ("calling", _some("calling", _OURS), None),
        ("held", _some("held"), None),
    )
    for dialect in ("sqlite", "postgresql")
}
"""State, how its rows are counted, and whether they are delayed; None: the statement says it. Those that may be claimed are
all counted, since their index is sorted as they are counted and holds all that is asked; the doors' windows bound them.
"""


def _standing(conn: Connection) -> tuple[Standing, ...]:
    found: dict[tuple[Pool, int, str, str, bool], tuple[int, float]] = {}
    for state, statement, delayed in _STANDING[conn.dialect.name]:
        for r in conn.execute(statement):
            key = ((r.provider, r.model), r.lane, r.tenant, state, bool(r.delayed if delayed is None else delayed))
            count, oldest = found.get(key, (0, math.inf))
            found[key] = count + int(r.many), min(oldest, float(r.oldest))
    return tuple(Standing(*key, count, oldest) for key, (count, oldest) in found.items())


_LATEST = (
    select(_E.kind, _E.request_pk, _E.generation, _E.provider, _E.model, _E.opened_at, _E.closed_at)
    .where(text("closed_at IS NOT NULL"), _E.closed_at >= bindparam("since"))
    .order_by(_E.closed_at.desc())
    .limit(CALLS)
)
_ENDED = select(_R.pk, _R.generation, _R.lane, _R.accepted_at).where(
    _R.pk.in_(bindparam("the_pks", expanding=True)), _R.completed_at.is_not(None)
)


def _calls(conn: Connection, since: float) -> tuple[list[_Call], dict[Pool, float]]:
    """The latest calls of each pool, and from when on they are all there. Numbering them in the database would sort them all."""
    found = conn.execute(_LATEST, {"since": since}).all()
    whole = since if len(found) < CALLS else float(found[-1].closed_at)
    mine: dict[Pool, list[_Call]] = {}
    for kind, pk, generation, provider, model, opened, closed in found:
        if kind == "batch":
            continue
        of_pool = mine.setdefault((provider, model), [])
        if len(of_pool) < SAMPLE:
            of_pool.append(_Call(pk, generation, provider, model, opened, closed))
    begin = {pool: calls[-1].closed_at if len(calls) >= SAMPLE else whole for pool, calls in mine.items()}
    return [call for calls in mine.values() for call in calls], begin


def _done(conn: Connection, calls: Sequence[_Call]) -> tuple[Done, ...]:
    """Calls to requests: those that have ended, each with all of its calls that were found."""
    pks = sorted({call.request_pk for call in calls})
    of = {(pk, generation): (lane, at) for pk, generation, lane, at in _ended(conn, pks)}
    found: dict[tuple[int, int], Done] = {}
    for pk, generation, provider, model, opened, closed in calls:
        key = pk, generation
        if key in of:
            one = Done((provider, model), *of[key], opened, closed, max(0.0, closed - opened))
            found[key] = _both(found[key], one) if key in found else one
    return tuple(sorted(found.values(), key=lambda done: done.closed_at))


def _ended(conn: Connection, pks: Sequence[int]) -> Iterator[Any]:
    for start in range(0, len(pks), 1024):
        yield from conn.execute(_ENDED, {"the_pks": rows.padded(pks[start : start + 1024])})


def _both(one: Done, other: Done) -> Done:
    """Calls of one request, together."""
    opened, closed = min(one.opened_at, other.opened_at), max(one.closed_at, other.closed_at)
    return one._replace(opened_at=opened, closed_at=closed, work_s=one.work_s + other.work_s)


_NEW = (
    select(_R.provider, _R.model, _R.lane, _R.tenant, _R.accepted_at)
    .where(_R.accepted_at >= bindparam("since"))
    .order_by(_R.accepted_at.desc(), _R.pk.desc())
    .limit(SCAN)
)


def _arrived(conn: Connection, since: float) -> tuple[tuple[Pool, int, str, float], ...]:
    found = conn.execute(_NEW, {"since": since})
    return tuple(((provider, model), lane, tenant, at) for provider, model, lane, tenant, at in found)


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
