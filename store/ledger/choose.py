"""Which rows a claim leases: those that would be picked next, found by a few looks into the index of what can be claimed.

A loose scan: from one (lane, tenant) to the next one that has rows, then the first rows of each. However many wait, as many
entries are read as tenants are looked at and rows are wanted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnClause,
    Connection,
    Double,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
)

from store.ledger.order import BATCH, LANES, Pair, Plan, Waiting, bounded, plan
from store.ledger.types.claims import Seen, Want
from store.quick import quick
from store.tables import CLAIMABLE, REALTIME, requests

TENANTS = 32
"""Of each lane, at one claim; of more than that the next claim looks at the next ones."""
FEW = 2
"""Rows of each tenant that are looked at even when nothing has room: one of them may be due sooner than what is held."""
MOST_HELD = 4
"""A process holds this many times the rows that it can use soon, whoever comes past those it has."""

_R = requests.c
_ONLY = "INDEXED BY requests_claimable"
_SEEN = (_R.pk, _R.due, _R.weight, _R.accepted_at, _R.run_id)
_OF_POOL = (CLAIMABLE, _R.provider == bindparam("p"), _R.model == bindparam("m"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows to lease, in their order, as (pk, run id); whether there may be more; what else was seen."""

    rows: tuple[tuple[int, str | None], ...]
    more: bool
    seen: Seen


def _int(number: int) -> ColumnClause[int]:
    """Written out: with bound values PostgreSQL's generic plan guesses so high a cost that it plans each claim anew."""
    return literal_column(str(number), Integer())


def _pairs(dialect: str) -> CTE:
    """Every (lane, tenant) that has rows, up to `TENANTS` of a lane, after those that `after…` names."""
    begin = union_all(
        *(
            select(
                _int(lane).label("lane"),
                cast(bindparam(f"after{lane}"), Text()).label("tenant"),
                _int(0).label("n"),
            )
            for lane in range(LANES)
        )
    )
    pair = select(begin.subquery("lanes")).cte("pair", recursive=True)
    here = pair.c.lane, pair.c.tenant
    following = (
        select(_R.tenant)
        .with_hint(requests, _ONLY, "sqlite")
        # PostgreSQL is asked for what only this index is in the order of; SQLite would read all of a lane for that
        .where(
            *_OF_POOL,
            *(
                (tuple_(_R.lane, _R.tenant) > tuple_(*here), _R.lane <= pair.c.lane)
                if dialect == "postgresql"
                else (_R.lane == pair.c.lane, _R.tenant > pair.c.tenant)
            ),
        )
        .order_by(_R.lane, _R.tenant)
        .limit(_int(1))
        .correlate(pair)
        .scalar_subquery()
    )
    step = select(pair.c.lane, following, pair.c.n + _int(1)).where(
        pair.c.tenant.is_not(None), pair.c.n < _int(TENANTS)
    )
    return pair.union_all(step)


def _first(pair: CTE, lane: int, dialect: str) -> Any:
    """The first rows of each tenant of a lane: an equal share of its room, and a few."""
    tenants = pair.c.lane == _int(lane), pair.c.n > _int(0), pair.c.tenant.is_not(None)
    many = select(func.count()).select_from(pair).where(*tenants).scalar_subquery()
    share = bindparam(f"room{lane}", type_=Integer()) // func.coalesce(func.nullif(many, _int(0)), _int(1)) + _int(FEW)
    whose = pair.c.lane, pair.c.tenant, pair.c.n, many.label("tenants")
    own = (
        select(*_SEEN)
        .with_hint(requests, _ONLY, "sqlite")
        .where(*_OF_POOL, _R.lane == _int(lane), _R.tenant == pair.c.tenant)
        .order_by(_R.due, _R.pk)
        .limit(share)
        .correlate(pair)
    )
    if dialect == "postgresql":
        row: Any = own.with_for_update(skip_locked=True).lateral(f"lane{lane}")
        return select(*row.c, *whose).join_from(pair, row, true()).where(*tenants)
    row = requests.alias(f"lane{lane}")
    columns = (row.c[column.name] for column in _SEEN)
    of_tenant = row.c.pk.in_(own.with_only_columns(_R.pk))
    # an outer join, and each tenant has a row: else SQLite may begin with the whole table
    return select(*columns, *whose).join_from(pair, row, of_tenant, isouter=True).where(*tenants)


def _told() -> Any:
    """One row with no key: whether a realtime row of this pool came lately, in its last column."""
    lately = exists().where(
        REALTIME,
        _R.provider == bindparam("p"),
        _R.model == bindparam("m"),
        _R.accepted_at > bindparam("since", type_=Double()),
    )
    empty = [cast(null(), column.type).label(column.name) for column in (*_SEEN, _R.lane, _R.tenant)]
    return select(*empty, _int(0).label("n"), case((lately, _int(1)), else_=_int(0)).label("tenants"))


def _statement(dialect: str) -> Any:
    pair = _pairs(dialect)
    return union_all(_told(), *(_first(pair, lane, dialect) for lane in range(LANES)))


_FOUND = {dialect: _statement(dialect) for dialect in ("sqlite", "postgresql")}


quick(*_FOUND.values())


def choose(conn: Connection, want: Want, free: int, for_batch: int, at: float) -> Chosen:
    """For as many rows as the free slots can hold, and as many ahead as this process has slots: whoever would be picked
    among what waits and what is held. A shelf full of one tenant's rows, or of batch rows, hides nobody.

    `for_batch`: how many of the free slots may serve a batch row while none is lent. A process without slots leases no more:
    a row that cannot have its slot would wait there for one that may never come.
    """
    count, held = free + want.total, want.held.counts()
    rooms = [max(0, count - sum(held[: lane + 1])) for lane in range(LANES)]
    answer = conn.execute(
        _FOUND[conn.dialect.name],
        {
            "p": want.pool[0],
            "m": want.pool[1],
            "since": at - want.order.rules.lend_after_s,
            **{f"room{lane}": room for lane, room in enumerate(rooms)},
            **{f"after{lane}": tenant for lane, tenant in enumerate(want.after)},
        },
    ).all()
    found = [row for row in answer if row.pk is not None]
    rows = [(Pair(row.lane, row.tenant), Waiting(row.due, row.pk, row.weight, row.accepted_at)) for row in found]
    cut = _cut(found, rooms)
    planned = plan(want.order, want.held, rows, count, at, cut) if sum(held) < MOST_HELD * count else Plan()
    runs = {row.pk: row.run_id for row in found}
    came = any(row.tenants for row in answer if row.lane is None)
    seen = Seen(
        lent=not came and not held[0] and all(row.lane for row in found),
        again=planned.blind and len(planned.pks) < count,
        after=(_after(found, 0), _after(found, 1), _after(found, 2)),
    )
    lanes = {row.pk: row.lane for row in found}
    pks = planned.pks if seen.lent or want.total else bounded(planned.pks, lanes, for_batch - held[BATCH])
    more = len(pks) < len(rows) or bool(cut) or any(seen.after) or any(want.after)
    return Chosen(tuple((pk, runs[pk]) for pk in pks), more, seen)


def _cut(found: Sequence[Any], rooms: Sequence[int]) -> frozenset[Pair]:
    """Who may have more rows than were looked at."""
    counts = Counter((row.lane, row.tenant, row.tenants) for row in found)
    return frozenset(
        Pair(lane, tenant) for (lane, tenant, tenants), count in counts.items() if count >= rooms[lane] // tenants + FEW
    )


def _after(found: Sequence[Any], lane: int) -> str:
    """Where the next look at this lane begins: at the start, or behind the last tenant that was looked at."""
    of_lane = [row for row in found if row.lane == lane]
    if not of_lane or of_lane[0].tenants < TENANTS:
        return ""
    return str(max(of_lane, key=lambda row: row.n).tenant)
