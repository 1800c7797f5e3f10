"""Calls priced anew: the difference is booked as an event of its own, on the day of the correction. No booking is changed.

What a call costs by the books is its cost and the corrections of it. To apply the same prices a second time finds no difference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from schemas.usage import Price
from store import rows
from store.database import now
from store.ledger import journal
from store.ledger.books import COST_ANYTHING, midnight
from store.ledger.budgeting import unpack
from store.ledger.purse import Moves
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, Closing
from store.tables import corrections, executions, outbox, requests

_E = executions.c
_C = corrections.c
_R = requests.c
_CORRECTED = (
    select(_C.call_id, func.count().label("corrections"), func.sum(_C.cost_nano).label("corrected_nano"))
    .group_by(_C.call_id)
    .subquery()
)
_SUM = _CORRECTED.c
_BOOKED = (
    select(
        executions,
        _R.id.label("request_id"),
        _R.run_id,
        func.coalesce(_SUM.corrections, 0).label("corrections"),
        _SUM.corrected_nano,
    )
    .join_from(executions, requests, _R.pk == _E.request_pk)
    .join(_CORRECTED, _SUM.call_id == _E.id, isouter=True)
)
_LOCK = select(_E.id).where(_E.id.in_(bindparam("ids", expanding=True))).order_by(_E.id).with_for_update()


@dataclass(frozen=True, slots=True)
class Span:
    """Which calls: those that ended between two UTC days, both included."""

    first: date
    last: date
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Anew:
    """What one call costs by the prices of today: `row` is one of `calls`."""

    row: Any
    cost_nano: int
    price: Price
    was_nano: int | None

    @property
    def difference_nano(self) -> int:
        return self.cost_nano - (self.was_nano or 0)


def calls(conn: Connection, span: Span, after: tuple[float, str], limit: int) -> list[Any]:
    """Calls that cost anything or returned, in the order of their ends, behind that place."""
    wanted = _BOOKED.where(
        _E.closed_at >= midnight(span.first), _E.closed_at < midnight(span.last + timedelta(days=1)), COST_ANYTHING
    )
    wanted = wanted.where((_E.closed_at > after[0]) | ((_E.closed_at == after[0]) & (_E.id > after[1])))
    if span.provider is not None:
        wanted = wanted.where(_E.provider == span.provider)
    if span.model is not None:
        wanted = wanted.where(_E.model == span.model)
    return list(conn.execute(wanted.order_by(_E.closed_at, _E.id).limit(limit)))


def booked(row: Any) -> int | None:
    """What the books say of it; None: nothing has priced it yet."""
    if row.cost_nano is None and not row.corrections:
        return None
    return (row.cost_nano or 0) + int(row.corrected_nano or 0)


def apply(conn: Connection, routes: Routes, found: Sequence[Anew]) -> int:
    """Book the differences; what another one has corrected meanwhile is left to them. How many there were."""
    if not found:
        return 0
    ids = rows.padded(anew.row.id for anew in found)
    conn.execute(_LOCK, {"ids": ids}).all()
    counted = select(_C.call_id, func.count()).where(_C.call_id.in_(ids)).group_by(_C.call_id)
    counts: dict[str, int] = {row[0]: row[1] for row in conn.execute(counted)}
    fresh = [anew for anew in found if counts.get(anew.row.id, 0) == anew.row.corrections]
    at = now(conn)
    rows.many(conn, insert(corrections), (_row(anew, at) for anew in fresh))
    moves = Moves()
    for anew in fresh:
        moves.add(unpack(anew.row.budgets), spent=anew.difference_nano, overrun=max(0, anew.difference_nano))
    moves.write(conn, at)
    events = journal.book(conn, routes, [_owed(anew) for anew in fresh], at)
    rows.many(conn, insert(outbox), events)
    return len(fresh)


def _row(anew: Anew, at: float) -> dict[str, Any]:
    row = anew.row
    copied = {name: getattr(row, name) for name in ("request_pk", "tenant", "operation", "provider", "model")}
    return copied | {
        "id": _id(row.id, row.corrections + 1),
        "call_id": row.id,
        "number": row.corrections + 1,
        "was_nano": anew.was_nano,
        "cost_nano": anew.difference_nano,
        "price_source": anew.price.source,
        "price_version": anew.price.version,
        "at": at,
    }


def _id(call: str, number: int) -> str:
    return f"{call}~{number}"


def _owed(anew: Anew) -> journal.Owed:
    price, row = anew.price, anew.row
    said = (row.id, row.kind, row.node, row.input_hash, row.outcome, row.estimated)
    return _event_of(row, _id(row.id, row.corrections + 1), said, anew.difference_nano, price)


def _event_of(row: Any, id_: str, said: tuple[Any, ...], nano: int, price: Price) -> journal.Owed:
    call_id, kind, node, input_hash, outcome, estimated = said
    call = Call(id_, 1, kind, node, input_hash, 0, 0, None, price.source, price.version)
    closing = Closing(call, outcome, event=True, estimated=estimated, cost_nano=nano, corrects=call_id)
    return journal.Owed(row.request_id, row.operation, row.tenant, row.run_id, row.provider, row.model, closing)


_OF_REQUESTS = (
    select(
        corrections,
        _R.id.label("request_id"),
        _R.run_id,
        _E.kind,
        _E.node,
        _E.input_hash,
        _E.outcome,
        _E.estimated,
    )
    .join_from(corrections, requests, _R.pk == _C.request_pk)
    .join(executions, _E.id == _C.call_id)
    .where(_C.request_pk.in_(bindparam("pks", expanding=True)))
    .order_by(_C.at, _C.id)
)


def of_requests(conn: Connection, pks: Iterable[int]) -> list[tuple[Any, journal.Owed]]:
    """Those of these requests' calls, each with what its event says; `at` is when it was booked."""
    found = conn.execute(_OF_REQUESTS, {"pks": rows.padded(pks)})
    return [(row, _again(row)) for row in found]


def _again(row: Any) -> journal.Owed:
    said = (row.call_id, row.kind, row.node, row.input_hash, row.outcome, row.estimated)
    return _event_of(row, row.id, said, row.cost_nano, Price(source=row.price_source, version=row.price_version))
