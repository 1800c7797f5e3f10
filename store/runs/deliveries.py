"""What is told of runs that ended, to whom: written with the end itself, kept until it is delivered or given up."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from store.database import now
from store.runs.tables import DUE, deliveries

_D = deliveries.c


def put(conn: Connection, id_: str, run: Row[Any], url: str, secret: str, body: bytes) -> None:
    """Due at once. In the transaction that ends the run."""
    at = now(conn)
    values = {"id": id_, "tenant": run.tenant, "run_id": run.id, "url": url, "secret": secret, "body": body}
    conn.execute(insert(deliveries), values | {"created_at": at, "due_at": at, "tries": 0})


def due(conn: Connection, most: int) -> Sequence[Row[Any]]:
    """Those whose time has come, the oldest first."""
    asked = select(deliveries).where(DUE, _D.due_at <= now(conn)).order_by(_D.due_at).limit(most)
    return conn.execute(asked).all()


def take(conn: Connection, row: Row[Any], for_s: float) -> bool:
    """One more try is ours; if we die with it, it is due again after `for_s`. False: somebody else has it."""
    changed = (
        update(deliveries)
        .where(_D.id == row.id, _D.tries == row.tries, DUE)
        .values(tries=_D.tries + 1, due_at=now(conn) + for_s)
    )
    return conn.execute(changed).rowcount > 0


def settle(conn: Connection, id_: str, said: str, again_s: float | None, *, delivered: bool = False) -> None:
    """How a try ended, and when the next one is; None: there is none, and the secret is not needed any more."""
    at = now(conn)
    values: dict[str, Any] = {"said": said, "due_at": None if again_s is None else at + again_s}
    if again_s is None:
        values["secret"] = None
    if delivered:
        values["delivered_at"] = at
    conn.execute(update(deliveries).where(_D.id == id_, DUE).values(**values))


def of_run(conn: Connection, tenant: str, run_id: str) -> Sequence[Row[Any]]:
    """Oldest first: a run that was retried ends several times."""
    asked = select(deliveries).where(_D.tenant == tenant, _D.run_id == run_id).order_by(_D.created_at)
    return conn.execute(asked.limit(100)).all()
