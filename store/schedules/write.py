"""Changes of schedules, each one transaction. Whoever changes what was seen names its version: the first one wins."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from store import rows
from store.database import now
from store.schedules.tables import schedules

_S = schedules.c
_NONE = {"fired": 0, "skipped": 0, "missed": 0, "failed": 0}


def put(conn: Connection, name: str, source: str, said: bytes, values: Mapping[str, Any]) -> bool:
    """Made, or said anew: False where it is of the other source. `values`: whether it is paused, and when it fires next."""
    at = now(conn)
    found = conn.execute(select(_S.source, _S.version).where(_S.name == name).with_for_update()).first()
    told = {"said": said, "changed_at": at, "queued_at": None, "error": None, **values}
    if found is None:
        row = {"name": name, "source": source, "version": 1, "made_at": at, **_NONE, **told}
        return conn.execute(rows.upsert(conn, schedules).values(row).on_conflict_do_nothing()).rowcount > 0
    if found.source != source:
        return False
    conn.execute(update(schedules).where(_S.name == name).values(version=_S.version + 1, **told))
    return True


def change(conn: Connection, name: str, version: int, values: Mapping[str, Any]) -> bool:
    """False: somebody else has changed it since it was seen."""
    changed = update(schedules).where(_S.name == name, _S.version == version)
    return conn.execute(changed.values(version=_S.version + 1, **values)).rowcount > 0


def remove(conn: Connection, name: str, source: str) -> bool:
    """Whether it was there."""
    return conn.execute(delete(schedules).where(_S.name == name, _S.source == source)).rowcount > 0


def count(conn: Connection, name: str, **more: int) -> None:
    """Add to what is counted of it."""
    conn.execute(update(schedules).where(_S.name == name).values(**{each: _S[each] + by for each, by in more.items()}))


def fired(conn: Connection, name: str, planned: float, tenant: str, run_id: str) -> None:
    """What it has submitted last."""
    told = {"last_planned_at": planned, "last_fired_at": now(conn), "last_tenant": tenant, "last_run_id": run_id}
    conn.execute(update(schedules).where(_S.name == name).values(fired=_S.fired + 1, error=None, **told))


def could_not(conn: Connection, name: str, why: str) -> None:
    """Its firing could not be submitted."""
    conn.execute(update(schedules).where(_S.name == name).values(failed=_S.failed + 1, error=rows.plain(why[:2000])))
