"""Requests that wait for a human: a paid call of theirs broke off, and they want to be asked before another one is made."""

from collections.abc import Collection

from sqlalchemy import Connection, func, select, update

from schemas.errors import ErrorType, Failure
from schemas.result import Status
from store import rows
from store.database import now
from store.ledger.end import CLAIMED, end_rows
from store.ledger.news import notify
from store.ledger.types.records import Routes
from store.tables import requests

_R = requests.c
_DROPPED = Failure(
    type=ErrorType.AMBIGUOUS,
    message="a paid call broke off and may have been paid; the request was held, and somebody has dropped it",
    retryable=True,
)


def retry(conn: Connection, identities: Collection[bytes], who: str) -> dict[bytes, str]:
    """Held ones wait again, and the call that may have been paid is counted; of each that is known the state it was in."""
    found = _states(conn, identities)
    change = {"state": "waiting", "not_before": 0.0, "ambiguous": _R.ambiguous + 1}
    held = [pk for pk, state in found.values() if state == "held"]
    conn.execute(update(requests).where(_R.pk.in_(rows.padded(held))).values(change))
    notify(conn, who)
    return {identity: state for identity, (_, state) in found.items()}


def drop(conn: Connection, routes: Routes, identities: Collection[bytes], who: str) -> dict[bytes, str]:
    """Held ones end as `failed`, `ambiguous`, without a dead letter: somebody has looked. Of each known one its state before."""
    found = _states(conn, identities)
    held = [pk for pk, state in found.values() if state == "held"]
    end_rows(conn, routes, CLAIMED.where(_R.pk.in_(rows.padded(held))), Status.FAILED, _DROPPED, now(conn))
    notify(conn, who)
    return {identity: state for identity, (_, state) in found.items()}


def _states(conn: Connection, identities: Collection[bytes]) -> dict[bytes, tuple[int, str]]:
    wanted = select(_R.identity, _R.pk, _R.state).where(_R.identity.in_(rows.padded(identities)))
    return {row.identity: (row.pk, row.state) for row in conn.execute(wanted.order_by(_R.pk).with_for_update())}


def count(conn: Connection) -> int:
    """How many there are."""
    return int(conn.execute(select(func.count()).where(_R.state == "held")).scalar_one())
