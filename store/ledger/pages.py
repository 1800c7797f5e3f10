"""Lists of requests, newest first, a page at a time; what the start page counts; the calls of one request.

A page reads one index, in its order, from where the page before it ended. Filters that this index does not answer are
applied to `SCAN` of its rows at most, so a page takes about the same time whatever is asked for: where few rows fit it is
shorter than it could be, and says where to go on.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, literal, select, text, tuple_

from store.tables import executions, requests, results

_R = requests.c
_E = executions.c

SCAN = 2_000
"""Rows of an index that one page looks at; each may lie on another leaf of the table."""
MOST = 50_000
"""Counting stops here: more is told as `at least so many`."""
STATES = ("waiting", "leased", "calling", "held", "succeeded", "failed", "cancelled", "expired")

_SHOWN = (
    _R.pk,
    _R.tenant,
    _R.operation,
    _R.id,
    _R.state,
    _R.lane,
    _R.provider,
    _R.model,
    _R.attempts,
    _R.generation,
    _R.run_id,
    _R.error_type,
    _R.requested_at,
    _R.accepted_at,
    _R.started_at,
    _R.completed_at,
    _R.key_id,
)
_IN_A_RUN = text("run_id IS NOT NULL")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a page ended: a row, by what the list is sorted by."""

    accepted_at: float
    pk: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests. None and empty: all. Accepted from `since` on and before `until`, in seconds."""

    states: tuple[str, ...] = ()
    operation: str | None = None
    tenant: str | None = None
    lane: int | None = None
    run_id: str | None = None
    since: float = 0.0
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Page:
    """`next`: where the following page goes on; None: there is nothing behind this one."""

    rows: tuple[Row[Any], ...]
    next: Place | None


def page(conn: Connection, wanted: Wanted, after: Place | None, limit: int) -> Page:
    """At most `limit` requests behind `after`. Several states are several lists, merged."""
    states = wanted.states or (None,)
    scan = max(limit, SCAN // len(states))
    parts = [_part(conn, _Part(wanted, state), after, limit, scan) for state in states]
    floor = max((part.next for part in parts if part.next is not None), default=None)
    found = [row for part in parts for row in part.rows if floor is None or place_of(row) >= floor]
    found.sort(key=place_of, reverse=True)
    if len(found) > limit:
        return Page(tuple(found[:limit]), place_of(found[limit - 1]))
    return Page(tuple(found), floor)


def place_of(row: Any) -> Place:
    """Where a row stands in every list."""
    return Place(row.accepted_at, row.pk)


@dataclass(frozen=True, slots=True)
class _Part:
    """A list with one state at most: the column whose index is read, and what is left to filter by."""

    wanted: Wanted
    state: str | None

    def filters(self) -> dict[str, Any]:
        """Column to value, the best index first: most requests have succeeded, so that state goes behind."""
        named = {"run_id": self.wanted.run_id, "tenant": self.wanted.tenant, "operation": self.wanted.operation}
        rare = {} if self.state == "succeeded" else {"state": self.state}
        ordered = {"run_id": named.pop("run_id")} | rare | named | {"state": self.state, "lane": self.wanted.lane}
        return {name: value for name, value in ordered.items() if value is not None}

    def lead(self) -> str | None:
        """The column whose index is read; None: the one of all requests."""
        return next((name for name in self.filters() if name != "lane"), None)

    def key(self) -> tuple[ColumnElement[Any], ...]:
        """What the index is sorted by."""
        lead = self.lead()
        return (_R.accepted_at, _R.pk) if lead is None else (_R[lead], _R.accepted_at, _R.pk)

    def rest(self) -> dict[str, Any]:
        """The filters that the index does not answer."""
        return {name: value for name, value in self.filters().items() if name != self.lead()}

    def rows(self, columns: Sequence[ColumnElement[Any]], after: Place | None) -> Select[Any]:
        """The index's rows behind `after`, in its order.

        Compared and sorted as whole keys, also where the first column is always the same: told `tenant = …`, PostgreSQL may
        take it for frequent and walk the index of all requests past every other tenant's.
        """
        top = after or Place(self.wanted.until, 0)
        bounds = self._values(top.accepted_at, top.pk), self._values(self.wanted.since, None)
        key = self.key()
        found = select(*columns).where(tuple_(*key) < tuple_(*bounds[0]), tuple_(*key[:-1]) >= tuple_(*bounds[1]))
        if self.lead() == "run_id":
            found = found.where(_IN_A_RUN)
        return found.order_by(*(column.desc() for column in key))

    def _values(self, accepted_at: float, pk: int | None) -> Iterator[ColumnElement[Any]]:
        lead = self.lead()
        if lead is not None:
            yield literal(self.filters()[lead], _R[lead].type)
        yield literal(accepted_at, _R.accepted_at.type)
        if pk is not None:
            yield literal(pk, _R.pk.type)


def _part(conn: Connection, part: _Part, after: Place | None, limit: int, scan: int) -> Page:
    rest = part.rest()
    if not rest:
        found = conn.execute(part.rows(_SHOWN, after).limit(limit + 1)).all()
        return _cut(found, limit)
    looked_at = part.rows(_SHOWN, after).limit(scan).subquery()
    fitting = select(looked_at).where(*(looked_at.c[name] == value for name, value in rest.items()))
    in_order = fitting.order_by(looked_at.c.accepted_at.desc(), looked_at.c.pk.desc())
    found = conn.execute(in_order.limit(limit + 1)).all()
    if len(found) > limit:
        return _cut(found, limit)
    last = conn.execute(part.rows((_R.accepted_at, _R.pk), after).offset(scan - 1).limit(1)).first()
    return Page(tuple(found), None if last is None else place_of(last))


def _cut(found: Sequence[Row[Any]], limit: int) -> Page:
    return Page(tuple(found[:limit]), place_of(found[limit - 1]) if len(found) > limit else None)


def calls_of(conn: Connection, pk: int, limit: int = 1000) -> list[Row[Any]]:
    """The calls of one request, of all its generations, in the order in which they were made."""
    found = select(executions).where(_E.request_pk == pk).order_by(_E.generation, _E.opened_at, _E.number)
    return list(conn.execute(found.limit(limit)))


_CALLING = (
    select(_R.lane, _R.accepted_at).where(text("state = 'calling'")).order_by(_R.state, _R.accepted_at).limit(MOST)
)


def running(conn: Connection) -> dict[tuple[str, int], tuple[int, float]]:
    """(state, lane) -> (requests with an open call, when the oldest of them was accepted), also of those that lie in a provider's
    batch; counts end at `MOST`.
    """
    some = _CALLING.subquery().c
    counted = select(some.lane, func.count(), func.min(some.accepted_at)).group_by(some.lane)
    return {("calling", row[0]): (int(row[1]), float(row[2])) for row in conn.execute(counted)}


def ended(conn: Connection, since: float) -> dict[str, int]:
    """Status -> results since then; all of them together end at `MOST`."""
    c = results.c
    some = select(c.status).where(c.completed_at >= since).order_by(c.completed_at.desc()).limit(MOST).subquery()
    status = some.c.status
    others = (
        select(status, func.count()).where(status != "succeeded").group_by(status)
    )  # few: what is grouped is sorted
    found = {row[0]: int(row[1]) for row in conn.execute(others)}
    whole = int(conn.execute(select(func.count()).select_from(some)).scalar_one())
    return {"succeeded": whole - sum(found.values())} | found


def latest(conn: Connection, limit: int, most_bytes: int) -> list[Row[Any]]:
    """The results that came last; `body` is null where it is larger than `most_bytes`."""
    c = results.c
    body = case((func.length(c.body) <= most_bytes, c.body), else_=None).label("body")
    return list(
        conn.execute(
            select(_R.tenant, _R.operation, _R.id, c.status, c.completed_at, body, func.length(c.body).label("size"))
            .join_from(results, requests, _R.pk == c.request_pk)
            .order_by(c.completed_at.desc())
            .limit(limit)
        )
    )
