"""What one process at a time does. Its lease is its life: who leads does so until it leaves or is taken for dead.

There is no second heartbeat that could disagree with the first: a worker that died is swept away by the others, by the kernel's
word on SQLite and by its silence on PostgreSQL (`store/liveness.py`), and whoever comes next leads.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from store import rows
from store.database import now
from store.tables import leaders, workers

_L = leaders.c
_LEADER = (
    select(_L.owner, _L.since, workers.c.heartbeat_at)
    .outerjoin(workers, workers.c.id == _L.owner)
    .where(_L.role == bindparam("role"))
)
_FREE = _L.owner.is_(None) | ~select(workers.c.id).where(workers.c.id == _L.owner).exists()


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, and since when. `beat`: its last sign of life, for those who cannot tell whether it was taken for dead."""

    worker: str
    since: float
    beat: float


def leader(conn: Connection, role: str) -> Leader | None:
    """None: nobody who lives."""
    row = conn.execute(_LEADER, {"role": role}).first()
    return None if row is None or row.heartbeat_at is None else Leader(row.owner, row.since, row.heartbeat_at)


def lead(conn: Connection, role: str, worker: str) -> bool:
    """Lead from now on, unless somebody who lives does; whether we have just begun to."""
    hold(conn, role)
    taken = update(leaders).where(_L.role == role, _FREE).values(owner=worker, since=now(conn))
    return conn.execute(taken).rowcount > 0


def resign(conn: Connection, role: str, worker: str) -> None:
    """Others may lead at once."""
    conn.execute(update(leaders).where(_L.role == role, _L.owner == worker).values(owner=None))


def hold(conn: Connection, role: str) -> None:
    """One transaction at a time is in this role, until it ends."""
    row = {"role": role, "owner": None, "since": now(conn)}
    conn.execute(rows.upsert(conn, leaders).values(row).on_conflict_do_nothing())
    conn.execute(select(_L.role).where(_L.role == role).with_for_update())
