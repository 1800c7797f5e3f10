"""Looks at schedules."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from store.runs.tables import runs
from store.schedules.tables import schedules

_S, _R = schedules.c, runs.c
_ACTIVE = (_S.next_at.is_not(None)) | (_S.queued_at.is_not(None))
_WITH_RUN = (
    select(
        schedules,
        _R.kind.label("run_kind"),
        _R.status.label("run_status"),
        (_R.id.is_not(None) & _R.ended_at.is_(None)).label("busy"),
    )
    .select_from(schedules)
    .outerjoin(runs, (_R.tenant == _S.last_tenant) & (_R.id == _S.last_run_id))
)
_ALL = _WITH_RUN.order_by(_S.name)
_THOSE_ACTIVE = _WITH_RUN.where(_ACTIVE).order_by(_S.name)


def every(conn: Connection) -> Sequence[Row[Any]]:
    """By name, each with the kind and the status of its last run, and whether that goes on (`busy`)."""
    return conn.execute(_ALL).all()


def active(conn: Connection) -> Sequence[Row[Any]]:
    """Those of them that will fire, or have a firing that waits."""
    return conn.execute(_THOSE_ACTIVE).all()


def one(conn: Connection, name: str) -> Row[Any] | None:
    return conn.execute(_WITH_RUN.where(_S.name == name)).first()


def count(conn: Connection) -> int:
    """How many will fire."""
    return int(conn.execute(select(func.count()).select_from(schedules).where(_ACTIVE)).scalar_one())
