"""Rows that have waited long enough for their route's target: to the next one, before any call was made of this one.

Looked for now and then, by whoever comes first; what was called already is the engine's matter.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from schemas.errors import ErrorType
from schemas.routes import Next, Pinned, Tried
from store import rows
from store.database import now
from store.ledger import behind
from store.ledger.types.claims import Pool
from store.ledger.types.records import Routes
from store.tables import MOVING, requests

_R = requests.c
_MOST = 500
_DUE = (
    select(_R.pk, _R.provider, _R.model, _R.route, _R.attempts, _R.deadline, *behind.WAITED_FOR)
    .where(MOVING, _R.move_at <= bindparam("the_time"))
    .order_by(_R.pk)
    .limit(_MOST)
)
_MOVE = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"))
    .values(
        provider=bindparam("the_provider"),
        model=bindparam("the_model"),
        paid=bindparam("the_paid"),
        route=bindparam("the_route"),
        move_at=bindparam("the_move"),
        not_before=0,
        fingerprint=None,
    )
)
_STAY = update(requests).where(_R.pk == bindparam("the_pk")).values(move_at=None)


def until(at: float, wait_s: float | None, deadline: float | None) -> float | None:
    """When a row that begins to wait at `at` goes on: what comes next must have its time too."""
    if wait_s is None:
        return None
    return at + (wait_s if deadline is None else min(wait_s, max(0.0, deadline - at) / 2))


def ahead(conn: Connection) -> set[Pool]:
    """Where rows want to go that have waited long enough."""
    found = (_next(row) for row in conn.execute(_DUE, {"the_time": now(conn)}))
    return {(to.provider, to.model) for to in found if to is not None}


def move(conn: Connection, routes: Routes, pools: Collection[Pool]) -> int:
    """Those that go to one of these pools, which have slots; and how many they were."""
    at = now(conn)
    due = conn.execute(_DUE.with_for_update(skip_locked=True), {"the_time": at}).all()
    going = [(row, to) for row in due if (to := _next(row)) is not None and (to.provider, to.model) in pools]
    behind.lock_followers(conn, (row for row, _ in going))
    rows.many(conn, _MOVE, (_moved(row, to, at) for row, to in going))
    rows.many(conn, _STAY, ({"the_pk": row.pk} for row in due if _next(row) is None))
    behind.let_fly(conn, routes, (row for row, _ in going), at)
    return len(going)


def _next(row: Any) -> Next | None:
    """None: it was called here already, or nothing is left."""
    pinned = Pinned.model_validate_json(row.route)
    return pinned.left[0] if pinned.left and row.attempts == pinned.since else None


def _moved(row: Any, to: Next, at: float) -> dict[str, Any]:
    pinned = Pinned.model_validate_json(row.route)
    tried = Tried(target=f"{row.provider}/{row.model}", error=ErrorType.OVERLOADED, waited=True)
    left = pinned.left[1:]
    patient = to.wait_s is not None and bool(left)
    kept = pinned.model_copy(update={"left": left, "tried": [*pinned.tried, tried], "patient": patient})
    return {
        "the_pk": row.pk,
        "the_provider": to.provider,
        "the_model": to.model,
        "the_paid": to.paid,
        "the_route": kept.model_dump_json(exclude_defaults=True),
        "the_move": until(at, to.wait_s if left else None, row.deadline),
    }
