"""What nobody needs any more of runs that ended long ago: items that were never requests, what jobs have found, messages that were
told, files.

The runs themselves stay, as the ledger's identities do: a name that was used stands for what it stood for.
"""

from sqlalchemy import Connection, delete, or_, select, tuple_, update

from store import rows
from store.database import now
from store.files import DELETED, UPLOADING
from store.runs import steps
from store.runs.tables import deliveries, file_parts, files, jobs, run_parts, runs

_R, _P, _J, _D, _F, _FP = runs.c, run_parts.c, jobs.c, deliveries.c, files.c, file_parts.c
_A_DAY = 86_400.0


def drop(conn: Connection, before: float, most: int) -> int:
    """One batch; how many rows have gone."""
    return (
        _parts(conn, before, most)
        or steps.drop(conn, before, most)
        or _jobs(conn, before, most)
        or _told(conn, before, most)
        or _files(conn, before)
    )


def _parts(conn: Connection, before: float, most: int) -> int:
    ended = _R.ended_at < before
    found = select(_P.tenant, _P.run_id, _P.first).join(runs, (_R.tenant == _P.tenant) & (_R.id == _P.run_id) & ended)
    old = [tuple(row) for row in conn.execute(found.limit(most))]
    if old:
        conn.execute(delete(run_parts).where(tuple_(_P.tenant, _P.run_id, _P.first).in_(rows.padded(old))))
    return len(old)


def _jobs(conn: Connection, before: float, most: int) -> int:
    found = select(_J.tenant, _J.run_id).where(_J.ended_at < before).order_by(_J.ended_at).limit(most)
    old = [tuple(row) for row in conn.execute(found)]
    if old:
        conn.execute(delete(jobs).where(tuple_(_J.tenant, _J.run_id).in_(rows.padded(old))))
    return len(old)


def _told(conn: Connection, before: float, most: int) -> int:
    found = select(_D.id).where(_D.due_at.is_(None), _D.created_at < before).limit(most)
    old = list(conn.execute(found).scalars())
    if old:
        conn.execute(delete(deliveries).where(_D.id.in_(rows.padded(old))))
    return len(old)


def _files(conn: Connection, before: float) -> int:
    """One file, which may have many parts. An upload that nobody has finished within a day has broken off."""
    unfinished = (_F.status == UPLOADING) & (_F.created_at < now(conn) - _A_DAY)
    found = select(_F.tenant, _F.id).where(_F.status != DELETED, or_(_F.created_at < before, unfinished)).limit(1)
    old = conn.execute(found).first()
    if old is None:
        return 0
    conn.execute(delete(file_parts).where(_FP.tenant == old.tenant, _FP.file_id == old.id))
    conn.execute(update(files).where(_F.tenant == old.tenant, _F.id == old.id).values(status=DELETED))
    return 1
