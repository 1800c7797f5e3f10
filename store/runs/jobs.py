"""Runs that are no requests: the program's own work. Who owns the run does it; who follows a dead owner does it again."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from store.runs import write
from store.runs.tables import OPEN, jobs, runs
from store.runs.write import New

_J, _R = jobs.c, runs.c
_WITH_RUN = select(runs, _J.params, _J.tries, _J.not_before, _J.result).join(
    jobs, (_J.tenant == _R.tenant) & (_J.run_id == _R.id)
)


def make(conn: Connection, new: New, owner: str, params: bytes) -> tuple[Row[Any], bool]:
    """The run, and whether it is new. Raises `Conflict`."""
    row, is_new = write.make(conn, new, owner)
    if is_new:
        told = {"tenant": new.tenant, "run_id": new.id, "params": params, "tries": 0, "not_before": 0.0}
        conn.execute(insert(jobs), told)
        mine = update(runs).where(_R.tenant == new.tenant, _R.id == new.id)
        conn.execute(mine.values(total=1, sealed=True))
        row = conn.execute(select(runs).where(_R.tenant == new.tenant, _R.id == new.id)).one()
    return row, is_new


def one(conn: Connection, tenant: str, run_id: str) -> Row[Any] | None:
    return conn.execute(_WITH_RUN.where(_R.tenant == tenant, _R.id == run_id)).first()


def last_result(conn: Connection, name: str) -> bytes | None:
    """Of the last one of that name that has succeeded."""
    asked = _WITH_RUN.where(_R.name == name, _R.status == "succeeded", _J.ended_at.is_not(None))
    asked = asked.order_by(_J.ended_at.desc()).limit(1)
    row = conn.execute(asked).first()
    return None if row is None else row.result


def begun(conn: Connection, row: Row[Any], worker: str, at: float) -> bool:
    """One more try is ours; False: the run is somebody else's, or has ended."""
    started = {"status": "running", "started_at": row.started_at or at}
    mine = update(runs).where(_R.tenant == row.tenant, _R.id == row.id, _R.owner == worker, OPEN)
    if not conn.execute(mine.values(**started)).rowcount:
        return False
    return _changed(conn, row, tries=_J.tries + 1)


def later(conn: Connection, row: Row[Any], at: float) -> None:
    """Its try has failed; the next one is not before then."""
    _changed(conn, row, not_before=at)


def ended(conn: Connection, row: Row[Any], worker: str, values: Mapping[str, Any], result: bytes | None) -> bool:
    """False: it is somebody else's by now, or has ended."""
    mine = update(runs).where(_R.tenant == row.tenant, _R.id == row.id, _R.owner == worker, OPEN)
    return conn.execute(mine.values(owner=None, **values)).rowcount > 0 and _changed(
        conn, row, result=result, ended_at=values["ended_at"]
    )


def again(conn: Connection, tenant: str, run_id: str) -> bool:
    """From the beginning; the run is opened with it. False: what it was asked for is no longer kept."""
    fresh = {"tries": 0, "not_before": 0.0, "result": None, "ended_at": None}
    mine = update(jobs).where(_J.tenant == tenant, _J.run_id == run_id)
    return conn.execute(mine.values(**fresh)).rowcount > 0


def _changed(conn: Connection, row: Row[Any], **values: Any) -> bool:
    changed = update(jobs).where(_J.tenant == row.tenant, _J.run_id == row.id)
    return conn.execute(changed.values(**values)).rowcount > 0
