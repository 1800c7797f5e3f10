"""A day's costs added up anew from its calls, held against what was added up as they ended, and put right.

The journal is what counts: a call's row and the day's sums are written in one transaction, and only the row says which call it
was. What is put right is an event of its own (`daily_corrections`), so that nobody wonders why a day costs something else now.
No usage event goes out: those were never wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, literal, select, text, union_all

from store import rows
from store.database import now
from store.leading import hold
from store.ledger import room
from store.ledger.books import COST_ANYTHING, midnight
from store.ledger.journal import add_to_days
from store.tables import corrections, daily_corrections, daily_costs, executions

SUMS = ("calls", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced_calls")
_CLOSED = text("closed_at IS NOT NULL")  # in words, as the index of closed calls has it
_KEY = ("provider", "model", "tenant")
_E, _C, _D = executions.c, corrections.c, daily_costs.c


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much the calls of a day are more than what was added up, in the order of `SUMS`."""

    provider: str
    model: str
    tenant: str
    more: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One day: how many sums it has, what its calls cost, and where they were not what was added up."""

    sums: int
    cost_nano: int
    differences: tuple[Difference, ...]


class Gone(Exception):
    """Some calls of the day are no longer kept, so that every sum would be wrong; `whole` is the first day of which none has gone."""

    def __init__(self, whole: date) -> None:
        super().__init__(str(whole))
        self.whole = whole


def compare(conn: Connection, day: date) -> Found:
    """Changes nothing, so that a day of a million calls that is in order keeps no writer waiting. Raises `Gone`."""
    lines = sorted(conn.execute(_compared(day)).all(), key=lambda row: (row.provider, row.model, row.tenant))
    differences = tuple(each for each in map(_difference, lines) if any(each.more))
    mark = room.marks(conn).get("journal")  # after the calls: what was pruned while they were added up is marked by now
    if mark is not None and midnight(day) < mark:
        raise Gone(datetime.fromtimestamp(mark, UTC).date())
    return Found(len(lines), sum(int(row.cost_nano) for row in lines), differences)


def put_right(conn: Connection, day: date, run_id: str) -> Found:
    """Compare and correct, in one transaction. Two who do it at once do it one after the other. Raises `Gone`."""
    hold(conn, "aggregate_costs")
    found = compare(conn, day)
    _correct(conn, day, run_id, found.differences)
    return found


def corrected_by(conn: Connection, day: date, run_id: str) -> Sequence[Row[Any]]:
    """What a run has put right of a day, also in a try that did not live to tell it."""
    d = daily_corrections.c
    wanted = select(daily_corrections).where(d.date == str(day), d.run_id == run_id)
    return conn.execute(wanted.order_by(d.pk)).all()


def corrected(conn: Connection, first: date, last: date, tenant: str | None, limit: int) -> Sequence[Row[Any]]:
    """What was put right of these days, the oldest first."""
    d = daily_corrections.c
    wanted = select(daily_corrections).where(d.date >= str(first), d.date <= str(last))
    if tenant is not None:
        wanted = wanted.where(d.tenant == tenant)
    return conn.execute(wanted.order_by(d.date, d.pk).limit(limit)).all()


def _compared(day: date) -> Any:
    """Both sides in one statement, which sees one moment: a call that ends meanwhile is in both or in none."""
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    calls = select(
        *(_E[name] for name in _KEY),
        literal(1).label("calls"),
        _E.input_tokens,
        _E.output_tokens,
        _E.cached_tokens,
        func.coalesce(_E.cost_nano, 0).label("cost_nano"),
        case((_E.cost_nano.is_(None), 1), else_=0).label("unpriced_calls"),
        *(literal(0).label(f"booked_{name}") for name in SUMS),
    ).where(_E.closed_at >= begin, _E.closed_at < end, _CLOSED, COST_ANYTHING)
    prices = select(
        *(_C[name] for name in _KEY),
        *((_C.cost_nano if name == "cost_nano" else literal(0)).label(name) for name in SUMS),
        *(literal(0).label(f"booked_{name}") for name in SUMS),
    ).where(_C.at >= begin, _C.at < end)
    added = select(
        *(_D[name] for name in _KEY),
        *(literal(0).label(name) for name in SUMS),
        *(_D[name].label(f"booked_{name}") for name in SUMS),
    ).where(_D.date == str(day))
    both = union_all(calls, prices, added).subquery().c
    sums = [func.sum(both[name]).label(name) for name in (*SUMS, *(f"booked_{name}" for name in SUMS))]
    keys = [both[name] for name in _KEY]
    return select(*keys, *sums).group_by(*keys)


def _difference(row: Row[Any]) -> Difference:
    more = (int(getattr(row, name)) - int(getattr(row, f"booked_{name}")) for name in SUMS)
    return Difference(row.provider, row.model, row.tenant, tuple(more))


def _correct(conn: Connection, day: date, run_id: str, differences: Sequence[Difference]) -> None:
    at = now(conn)
    lines = [
        {"date": str(day), "provider": each.provider, "model": each.model, "tenant": each.tenant}
        | dict(zip(SUMS, each.more, strict=True))
        for each in differences
    ]
    add_to_days(conn, lines)
    rows.many(conn, insert(daily_corrections), [line | {"run_id": run_id, "at": at} for line in lines])
