"""Calls, tokens and money between two UTC days, added up by whatever is asked for.

By day, provider, model and tenant costs are added up already, in `daily_costs`; by operation and run the journal has to be
read, from the first day asked for to the last.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, select, text, true

from store.tables import daily_costs, executions, requests

_D = daily_costs.c
_E = executions.c

GROUPS = ("day", "provider", "model", "tenant", "operation", "run")
_BY_DAY = {"day": _D.date, "provider": _D.provider, "model": _D.model, "tenant": _D.tenant}
_CLOSED = text("closed_at IS NOT NULL")
_COST_ANYTHING = (_E.outcome == "ok") | _E.cost_nano.is_(None) | (_E.cost_nano != 0) | (_E.input_tokens > 0)
"""What `daily_costs` counts: a call that returned or cost something. One that was refused at once is no more than used."""


def reads_journal(by: Sequence[str]) -> bool:
    """Whether costs by these groups are added up from the calls, of which the old ones may have gone."""
    return not set(by) <= _BY_DAY.keys()


def costs_by(
    conn: Connection, by: Sequence[str], first: date, last: date, limit: int, tenant: str | None = None
) -> list[Row[Any]]:
    """Calls, tokens and money by `GROUPS`, both days included; of one tenant or of all."""
    if reads_journal(by):
        return _journal(conn, by, first, last, limit, _of(tenant) & _COST_ANYTHING, ())
    groups = [_BY_DAY[name].label(name) for name in by]
    sums = [func.sum(_D[name]).label(name) for name in ("calls", *_SUMMED)]
    wanted = select(*groups, *sums).where(_D.date >= str(first), _D.date <= str(last))
    if tenant is not None:
        wanted = wanted.where(_D.tenant == tenant)
    return list(conn.execute(wanted.group_by(*groups).order_by(*groups).limit(limit)))


def usage_by(
    conn: Connection, by: Sequence[str], first: date, last: date, limit: int, tenant: str | None = None
) -> list[Row[Any]]:
    """Every closed call, the wasted ones and the errors too; of one tenant or of all."""
    more = (_count(_E.outcome == "wasted").label("wasted"), _count(_E.outcome == "error").label("errors"))
    return _journal(conn, by, first, last, limit, _of(tenant) & _E.outcome.is_not(None), more)


def _of(tenant: str | None) -> ColumnElement[bool]:
    return true() if tenant is None else _E.tenant == tenant


_SUMMED = ("input_tokens", "output_tokens", "cached_tokens", "unpriced_calls", "cost_nano")


def _journal(
    conn: Connection,
    by: Sequence[str],
    first: date,
    last: date,
    limit: int,
    booked: ColumnElement[bool],
    more: Sequence[ColumnElement[Any]],
) -> list[Row[Any]]:
    groups = [_group(conn, name).label(name) for name in by]
    sums = [func.sum(_E[name]).label(name) for name in _SUMMED[:3]]
    unpriced = _count(_E.cost_nano.is_(None)).label("unpriced_calls")
    cost = func.sum(func.coalesce(_E.cost_nano, 0)).label("cost_nano")
    wanted = select(*groups, func.count().label("calls"), *sums, *more, unpriced, cost)
    wanted = wanted.where(_CLOSED, _E.closed_at >= _midnight(first), _E.closed_at < _midnight(last + timedelta(days=1)))
    if "run" in by:
        wanted = wanted.join_from(executions, requests, requests.c.pk == _E.request_pk)
    return list(conn.execute(wanted.where(booked).group_by(*groups).order_by(*groups).limit(limit)))


def _group(conn: Connection, name: str) -> ColumnElement[Any]:
    if name == "run":
        return requests.c.run_id
    return utc_day(conn, _E.closed_at) if name == "day" else _E[name]


def utc_day(conn: Connection, at: ColumnElement[Any]) -> ColumnElement[Any]:
    """A time as YYYY-MM-DD."""
    if conn.dialect.name == "sqlite":
        return func.date(at, "unixepoch")
    return func.to_char(func.timezone("UTC", func.to_timestamp(at)), "YYYY-MM-DD")


def _count(what: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((what, 1), else_=0))


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
