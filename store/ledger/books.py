"""Calls, tokens and money between two UTC days, added up by whatever is asked for.

By day, provider, model and tenant costs are added up already, in `daily_costs`; of the journal only the calls that have failed
are looked at, in an index of theirs. By operation and run it has to be read, from the first day asked for to the last.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, literal, select, text, union_all

from store.tables import corrections, daily_costs, executions, requests

_D = daily_costs.c
_E = executions.c
_C = corrections.c

GROUPS = ("day", "provider", "model", "tenant", "operation", "run")
_BY_DAY = {"day": _D.date, "provider": _D.provider, "model": _D.model, "tenant": _D.tenant}
_CLOSED = text("closed_at IS NOT NULL")
COST_ANYTHING = (_E.outcome == "ok") | _E.cost_nano.is_(None) | (_E.cost_nano != 0) | (_E.input_tokens > 0)
"""What `daily_costs` counts: a call that returned or cost something. One that was refused at once is no more than used."""


def reads_journal(by: Sequence[str]) -> bool:
    """Whether these groups are added up from all calls of the days: that takes long, and the old ones may have gone."""
    return not set(by) <= _BY_DAY.keys()


def costs_by(
    conn: Connection, by: Sequence[str], first: date, last: date, limit: int, tenant: str | None = None
) -> list[Row[Any]]:
    """Calls, tokens and money by `GROUPS`, both days included; of one tenant or of all."""
    if reads_journal(by):
        return _journal(conn, by, first, last, limit, COST_ANYTHING, (), tenant)
    groups = [_BY_DAY[name].label(name) for name in by]
    sums = [func.sum(_D[name]).label(name) for name in ("calls", *_SUMMED)]
    wanted = _of_days(select(*groups, *sums), first, last, tenant)
    return list(conn.execute(wanted.group_by(*groups).order_by(*groups).limit(limit)))


def usage_by(
    conn: Connection, by: Sequence[str], first: date, last: date, limit: int, tenant: str | None = None
) -> list[Row[Any]]:
    """Every closed call, the wasted ones and the errors too; of one tenant or of all."""
    if reads_journal(by):
        return _journal(conn, by, first, last, limit, _E.outcome.is_not(None), _FAILED, tenant)
    added = select(
        *(_BY_DAY[name].label(name) for name in by),
        *(_D[name].label(name) for name in ("calls", *_SUMMED)),
        *(literal(0).label(name) for name in _FAILED),
    )
    found = union_all(_of_days(added, first, last, tenant), _failed(conn, by, first, last, tenant)).subquery().c
    groups = [found[name] for name in by]
    sums = [func.sum(found[name]).label(name) for name in ("calls", *_SUMMED[:3], *_FAILED, *_SUMMED[3:])]
    return list(conn.execute(select(*groups, *sums).group_by(*groups).order_by(*groups).limit(limit)))


def _of_days(wanted: Select[Any], first: date, last: date, tenant: str | None) -> Select[Any]:
    """Rows of `daily_costs`."""
    between = wanted.where(_D.date >= str(first), _D.date <= str(last))
    return between if tenant is None else between.where(_D.tenant == tenant)


def _failed(conn: Connection, by: Sequence[str], first: date, last: date, tenant: str | None) -> Select[Any]:
    """The calls that brought nothing; only those that `daily_costs` leaves out are counted as calls. The index holds every
    column, so that no row is read.
    """
    groups = {"day": utc_day(conn, _E.closed_at), "provider": _E.provider, "model": _E.model, "tenant": _E.tenant}
    found = select(
        *(groups[name].label(name) for name in by),
        case((COST_ANYTHING, 0), else_=1).label("calls"),
        *(literal(0).label(name) for name in _SUMMED),
        *_LOST,
    ).where(_IS_FAILED, _E.closed_at >= midnight(first), _E.closed_at < midnight(last + timedelta(days=1)))
    return found if tenant is None else found.where(_E.tenant == tenant)


_FAILED = ("wasted", "errors")
_IS_FAILED = text("outcome <> 'ok'")  # in words, as the index of failed calls has it
_LOST = (
    case((_E.outcome == "wasted", 1), else_=0).label("wasted"),
    case((_E.outcome == "error", 1), else_=0).label("errors"),
)
_OF_BOTH = ("request_pk", "provider", "model", "tenant", "operation")
_CALLS = select(
    *(_E[name] for name in _OF_BOTH),
    _E.closed_at.label("at"),
    literal(1).label("calls"),
    _E.input_tokens,
    _E.output_tokens,
    _E.cached_tokens,
    *_LOST,
    case((_E.cost_nano.is_(None), 1), else_=0).label("unpriced_calls"),
    func.coalesce(_E.cost_nano, 0).label("cost_nano"),
)
_NONE = ("calls", "input_tokens", "output_tokens", "cached_tokens", "wasted", "errors", "unpriced_calls")
_CORRECTED = select(*(_C[name] for name in _OF_BOTH), _C.at, *(literal(0).label(name) for name in _NONE), _C.cost_nano)
_SUMMED = ("input_tokens", "output_tokens", "cached_tokens", "unpriced_calls", "cost_nano")


def _journal(
    conn: Connection,
    by: Sequence[str],
    first: date,
    last: date,
    limit: int,
    booked: ColumnElement[bool],
    more: Sequence[str],
    tenant: str | None,
) -> list[Row[Any]]:
    """Calls, and what was corrected of their prices later, on the days of either."""
    begin, end = midnight(first), midnight(last + timedelta(days=1))
    done = _CALLS.where(_CLOSED, _E.closed_at >= begin, _E.closed_at < end, booked)
    corrected = _CORRECTED.where(_C.at >= begin, _C.at < end)
    if tenant is not None:
        done, corrected = done.where(_E.tenant == tenant), corrected.where(_C.tenant == tenant)
    found = union_all(done, corrected).subquery().c
    groups = [_group(conn, found, name).label(name) for name in by]
    sums = [func.sum(found[name]).label(name) for name in ("calls", *_SUMMED[:3], *more, "unpriced_calls", "cost_nano")]
    wanted = select(*groups, *sums)
    if "run" in by:
        wanted = wanted.join_from(found.at.table, requests, requests.c.pk == found.request_pk)
    return list(conn.execute(wanted.group_by(*groups).order_by(*groups).limit(limit)))


def _group(conn: Connection, found: Any, name: str) -> ColumnElement[Any]:
    if name == "run":
        return requests.c.run_id
    return utc_day(conn, found.at) if name == "day" else found[name]


def utc_day(conn: Connection, at: ColumnElement[Any]) -> ColumnElement[Any]:
    """A time as YYYY-MM-DD."""
    if conn.dialect.name == "sqlite":
        return func.date(at, "unixepoch")
    return func.to_char(func.timezone("UTC", func.to_timestamp(at)), "YYYY-MM-DD")


def midnight(day: date) -> float:
    """When a UTC day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
