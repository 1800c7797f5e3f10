"""How far long calls are: rows that their worker writes about once a second, beside everything that must not be lost.

A row counts only while its request is `calling` under the very fence; whatever else stands there is left over.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select

from schemas.progress import Progress
from store import rows
from store.database import now
from store.ledger.types.claims import Claimed
from store.ledger.types.records import Routes
from store.ledger.types.steps import Generating
from store.tables import generating, outbox, requests

_G = generating.c
_R = requests.c
_COUNTS = (_R.pk == _G.request_pk) & (_R.fence == _G.fence) & (_R.state == "calling")
_SAY = rows.upserting(
    generating,
    lambda statement: statement.on_conflict_do_update(
        index_elements=["request_pk"],
        set_={name: statement.excluded[name] for name in ("fence", "tokens", "calls", "since", "at")},
    ),
)
_DROP = delete(generating).where(_G.request_pk == bindparam("the_pk"), _G.fence == bindparam("the_fence"))
_SWEEP = delete(generating).where(~exists().where(_COUNTS))


def say(conn: Connection, routes: Routes, told: Sequence[Generating], ended: Sequence[Claimed]) -> None:
    """What is new of the calls that run, published if a topic is named; and what was said of ended ones is taken back."""
    at = now(conn)
    rows.many(
        conn,
        _SAY(conn),
        (
            {
                "request_pk": one.claim.pk,
                "fence": one.claim.fence,
                "tokens": one.tokens,
                "calls": one.calls,
                "since": one.since,
                "at": at,
            }
            for one in sorted(told, key=lambda one: one.claim.pk)
        ),
    )
    rows.many(conn, _DROP, ({"the_pk": claim.pk, "the_fence": claim.fence} for claim in ended))
    if routes.runs:
        rows.many(conn, insert(outbox), (_published(routes, one, at) for one in told))


def _published(routes: Routes, one: Generating, at: float) -> dict[str, Any]:
    claim = one.claim
    key = (claim.run_id or claim.id).encode()
    said = Progress(
        run_id=claim.run_id,
        request_id=claim.id,
        operation=claim.operation,
        tenant=claim.tenant,
        generation=claim.generation,
        tokens=one.tokens,
        calls=one.calls,
        since=datetime.fromtimestamp(one.since, UTC),
        at=datetime.fromtimestamp(at, UTC),
    )
    where = routes.partition(routes.runs, key)
    packed = {"value": orjson.dumps(said.model_dump()), "headers": rows.pack_headers(())}
    return {"topic": routes.runs, "partition": where, "number": None, "key": key, **packed}


def of(conn: Connection, pk: int) -> Row[Any] | None:
    """What its worker said last; None: it is not being called, or not for long enough."""
    return conn.execute(select(generating).join(requests, _COUNTS).where(_G.request_pk == pk)).one_or_none()


def sweep(conn: Connection) -> None:
    """What workers that died have left."""
    conn.execute(_SWEEP)
