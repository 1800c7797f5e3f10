"""The ledger, read from its beginning in pages: requests with their texts, results and calls."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_

from store import rows
from store.tables import bodies, executions, requests, results

_R = requests.c


@dataclass(frozen=True, slots=True)
class Whole:
    """One request and all that is kept of it."""

    request: Row[Any]
    body: Row[Any] | None
    results: Sequence[Row[Any]]
    calls: Sequence[Row[Any]]


def page(
    conn: Connection,
    after: tuple[float, int],
    until: float | None,
    tenant: str | None,
    limit: int,
) -> list[Whole]:
    """The next requests behind (accepted_at, pk), oldest first."""
    wanted = select(requests).where(tuple_(_R.accepted_at, _R.pk) > tuple_(*after))
    if until is not None:
        wanted = wanted.where(_R.accepted_at < until)
    if tenant is not None:
        wanted = wanted.where(_R.tenant == tenant)
    found = conn.execute(wanted.order_by(_R.accepted_at, _R.pk).limit(limit)).all()
    pks = rows.padded(row.pk for row in found)
    if not pks:
        return []
    texts = {row.request_pk: row for row in conn.execute(select(bodies).where(bodies.c.request_pk.in_(pks)))}
    answers = _by_request(
        conn.execute(select(results).where(results.c.request_pk.in_(pks)).order_by(results.c.generation)).all()
    )
    made = select(executions).where(executions.c.request_pk.in_(pks))
    calls = _by_request(conn.execute(made.order_by(executions.c.generation, executions.c.opened_at)).all())
    return [Whole(row, texts.get(row.pk), answers[row.pk], calls[row.pk]) for row in found]


def _by_request(found: Sequence[Row[Any]]) -> defaultdict[int, list[Row[Any]]]:
    grouped: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in found:
        grouped[row.request_pk].append(row)
    return grouped
