"""What was recorded, published again: results and usage events as rows of the outbox. Nothing runs, nothing is booked.

A usage event keeps its id and gets no number of its own, so that whoever folds by id drops it or takes it, once. The first
event of each day's key carries the day's totals with the last number that they hold, read under the lock of that number:
a table that folds by numbers takes the totals as they are, and goes on behind them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, func, insert, select, tuple_

from schemas.costs import DailyTotals
from schemas.money import to_usd
from schemas.result import Totals
from store import rows
from store.ledger import answers, corrections, journal
from store.ledger.chosen import COST_ANYTHING
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, Closing
from store.tables import bodies, daily_costs, executions, numbers, outbox, requests, results

_R = requests.c
_E = executions.c
_N = numbers.c
_D = daily_costs.c

MOST_ROWS = 500
MOST_BYTES = 4 * 1024 * 1024
REPLAYED, TOTALS = "genai-replayed", "genai-totals"

_KEPT = and_(results.c.request_pk == _R.pk, results.c.generation == _R.generation)
_SIZES = select(_R.pk, func.length(results.c.body)).join_from(requests, results, _KEPT, isouter=True)
_RESULTS = (
    select(_R.pk, _R.id, _R.key, _R.partition, _R.run_id, _R.state, _R.quiet, results.c.body, bodies.c.headers)
    .join_from(requests, results, _KEPT, isouter=True)
    .join(bodies, bodies.c.request_pk == _R.pk, isouter=True)
)
_EVENTS = (
    select(executions, _R.id.label("request_id"), _R.run_id)
    .join_from(executions, requests, _R.pk == _E.request_pk)
    .where(COST_ANYTHING)
    .order_by(_E.closed_at, _E.id)
)
_PUBLISH = insert(outbox)
_MARKED = (REPLAYED, b"true")


@dataclass(frozen=True, slots=True)
class Published:
    """One batch. `unkept`: ended, but their answers are no longer there."""

    cursor: int
    results: int = 0
    events: int = 0
    unkept: int = 0


@dataclass(frozen=True, slots=True)
class _Booked:
    """A call or a correction, and when it was booked."""

    row: Any
    at: float


def kept(conn: Connection, pks: Sequence[int]) -> set[int]:
    """Those of them whose latest answer is still there."""
    wanted = select(_R.pk).join_from(requests, results, _KEPT).where(_R.pk.in_(rows.padded(pks)))
    return set(conn.execute(wanted).scalars())


def cut(conn: Connection, pks: Sequence[int]) -> list[int]:
    """As many of them as make a batch that nobody has to wait long for; one at least."""
    some = rows.padded(pks)
    sizes = {row[0]: row[1] or 0 for row in conn.execute(_SIZES.where(_R.pk.in_(some)))}
    counted = select(_E.request_pk, func.count()).where(COST_ANYTHING, _E.request_pk.in_(some)).group_by(_E.request_pk)
    calls = {row[0]: row[1] for row in conn.execute(counted)}
    taken: list[int] = []
    many, large = 0, 0
    for pk in pks:
        many, large = many + 1 + calls.get(pk, 0), large + sizes.get(pk, 0)
        if taken and (many > MOST_ROWS or large > MOST_BYTES):
            break
        taken.append(pk)
    return taken


def publish(conn: Connection, routes: Routes, pks: Sequence[int], width: int) -> Published:
    """The answers of these requests, and the events of all their calls. `width`: partitions of the results' topic."""
    some = rows.padded(pks)
    found = list(conn.execute(_RESULTS.where(_R.pk.in_(some)).order_by(_R.pk)))
    told = [_result(routes, row, width) for row in found if row.body is not None and not row.quiet]
    calls = list(conn.execute(_EVENTS.where(_E.request_pk.in_(some))))
    told_of = [(_Booked(row, row.closed_at), _event(routes, row)) for row in calls]
    told_of += [
        (_Booked(row, row.at), _marked(routes, owed, row.at)) for row, owed in corrections.of_requests(conn, pks)
    ]
    events = _restating(conn, routes, sorted(told_of, key=lambda each: each[0].at))
    rows.many(conn, _PUBLISH, told + events)
    unkept = sum(1 for row in found if row.body is None and row.state in _ENDED)
    return Published(pks[-1], len(told), len(events), unkept)


_ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})


def _result(routes: Routes, row: Any, width: int) -> answers.OutRow:
    """To the key, the partition and with the headers of before; a topic that has fewer partitions now gets it by its key."""
    body = orjson.loads(row.body) | {"replayed": True, "usage": Totals().model_dump()}
    partition = row.partition if row.partition < width else None
    headers = b"[]" if row.headers is None else row.headers
    return answers.to_results(routes, row.key, row.id, partition, orjson.dumps(body), headers, row.run_id)


def _event(routes: Routes, row: Row[Any]) -> answers.OutRow:
    call = Call(
        id=row.id,
        number=row.number,
        kind=row.kind,
        node=row.node,
        input_hash=row.input_hash,
        estimate_tokens=row.estimate_tokens,
        estimate_output=row.estimate_output,
        estimate_nano=row.estimate_nano,
        price_source=row.price_source,
        price_version=row.price_version,
    )
    closing = Closing(
        call,
        row.outcome,
        event=True,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        estimated=row.estimated,
        gpu_seconds=row.gpu_seconds,
        cost_nano=row.cost_nano,
        latency_ms=row.latency_ms,
    )
    owed = journal.Owed(row.request_id, row.operation, row.tenant, row.run_id, row.provider, row.model, closing)
    return _marked(routes, owed, row.closed_at)


def _marked(routes: Routes, owed: journal.Owed, at: float) -> answers.OutRow:
    return journal.event(routes, owed, at) | {"headers": rows.pack_headers([_MARKED])}


def _restating(
    conn: Connection, routes: Routes, events: Sequence[tuple["_Booked", answers.OutRow]]
) -> list[answers.OutRow]:
    """The same events; the first of each day's key with that day's totals."""
    first: dict[tuple[str, str, str, str], answers.OutRow] = {}
    for booked, event in events:
        day = answers.moment(booked.at).date().isoformat()
        first.setdefault((day, booked.row.provider, booked.row.model, booked.row.tenant), event)
    if not first:
        return []
    partitions = {event["partition"] for event in first.values()}
    # the lock comes first: what is committed to a day has its number in here, what waits for the lock has neither
    locked = select(_N.partition, _N.last).where(_N.topic == routes.usage, _N.partition.in_(rows.padded(partitions)))
    last = {row[0]: row[1] for row in conn.execute(locked.order_by(_N.partition).with_for_update())}
    key = tuple_(_D.date, _D.provider, _D.model, _D.tenant)
    for row in conn.execute(select(daily_costs).where(key.in_(rows.padded(first)))):
        event = first[row.date, row.provider, row.model, row.tenant]
        event["number"] = last.get(event["partition"], 0)
        event["headers"] = rows.pack_headers([_MARKED, (TOTALS, _totals(row))])
    return [event for _, event in events]


def _totals(row: Row[Any]) -> bytes:
    told = DailyTotals(
        calls=row.calls,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        cost_usd=to_usd(row.cost_nano) or "0.000000",
        unpriced_calls=row.unpriced_calls,
    )
    return told.model_dump_json(exclude={"seen", "position"}).encode()
