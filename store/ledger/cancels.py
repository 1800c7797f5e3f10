"""Cancels from outside of a writer, and what becomes of those that missed their request.

A cancel of an id that nobody knows is kept until its request comes. Two workers may read the two at the same moment: then
neither transaction sees the other's row, and both would wait for ever. So whoever polls looks for such pairs; to lock
them out would cost every acceptance a statement.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, exists, func, literal, select

from store import rows
from store.database import now
from store.ledger.accept import accept
from store.ledger.end import cancel_rows
from store.ledger.news import notify
from store.ledger.types.arrivals import Accepted, Arrival, CancelAsk
from store.ledger.types.records import Routes
from store.ledger.types.steps import UNFINISHED
from store.tables import cancels, requests

_R = requests.c
_MET = _R.identity == cancels.c.identity
_PAIRS = select(_R.identity).join(cancels, _MET)
MOST_COUNTED = 10_000


def order(conn: Connection, routes: Routes, asks: Sequence[CancelAsk], who: str) -> list[Accepted]:
    """Cancel, from a process that serves nothing; the others are told."""
    found = accept(conn, routes, [Arrival(ask, None, None, None, b"[]") for ask in asks])
    notify(conn, who, cancels=True)
    return found


def missed(conn: Connection) -> bool:
    """Whether a cancel is kept for a request that is here."""
    return bool(conn.execute(select(exists(_PAIRS))).scalar_one())


def join_missed(conn: Connection, routes: Routes) -> int:
    """Apply them; how many there were."""
    found = list(conn.execute(_PAIRS.order_by(_R.pk).with_for_update(of=requests)).scalars())
    if found:
        cancel_rows(conn, routes, found, now(conn))
        conn.execute(delete(cancels).where(cancels.c.identity.in_(rows.padded(found))))
    return len(found)


def of_run(conn: Connection, tenant: str, run_id: str) -> int:
    """Unfinished requests of a run, counted up to `MOST_COUNTED`."""
    found = select(literal(1)).where(_R.run_id == run_id, _R.tenant == tenant, _R.state.in_(sorted(UNFINISHED)))
    return int(conn.execute(select(func.count()).select_from(found.limit(MOST_COUNTED).subquery())).scalar_one())
