"""Changes of runs, each one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from schemas.result import Status
from store import rows
from store.database import now
from store.ledger.end import CLAIMED, end_rows
from store.ledger.types.records import Routes
from store.registry import read as registry
from store.rows import upsert
from store.runs import money
from store.runs.read import UNOWNED, waiting_items
from store.runs.tables import OPEN, run_parts, runs
from store.tables import requests, run_cancels

_R, _P, _C = runs.c, run_parts.c, run_cancels.c


class Conflict(Exception):
    """The id or the idempotency key stands for another run."""


@dataclass(frozen=True, slots=True)
class New:
    """A run as it was asked for; its items come apart."""

    tenant: str
    id: str
    kind: str
    name: str
    operation: str
    lane: int
    said: bytes
    payload_hash: bytes
    idempotency_key: str | None = None
    deadline: float | None = None
    budget_nano: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some items in a row: JSON Lines, packed."""

    first: int
    size: int
    body: bytes


def make(conn: Connection, new: New, owner: str, parts: Sequence[Part] | None = None) -> tuple[Row[Any], bool]:
    """The run, and whether it is new; with all of its items where `parts` has them. Raises `Conflict`."""
    found = _standing(conn, new)
    if found is None:
        row = {
            "tenant": new.tenant,
            "id": new.id,
            "kind": new.kind,
            "name": new.name,
            "operation": new.operation,
            "lane": new.lane,
            "status": "queued",
            "said": new.said,
            "payload_hash": new.payload_hash,
            "idempotency_key": new.idempotency_key,
            "deadline": new.deadline,
            "total": 0,
            "fed": 0,
            "sealed": False,
            "owner": owner,
            "cancelled": False,
            "created_at": now(conn),
            "prompts_revision": registry.revision(conn),
        }
        if conn.execute(upsert(conn, runs).values(row).on_conflict_do_nothing()).rowcount:
            if parts is not None:
                add(conn, new.tenant, new.id, parts, sealed=True)
            if new.budget_nano is not None:
                money.bound(conn, new.tenant, new.id, new.budget_nano)
            return conn.execute(select(runs).where(_R.tenant == new.tenant, _R.id == new.id)).one(), True
        found = _standing(conn, new)  # another process was the first
        assert found is not None
    if found.payload_hash != new.payload_hash:
        named = f"the idempotency key {new.idempotency_key!r}" if new.idempotency_key else f"the id {new.id!r}"
        raise Conflict(f"{named} stands for another run already; choose another one")
    return found, False


def _standing(conn: Connection, new: New) -> Row[Any] | None:
    key = (
        _R.id == new.id
        if new.idempotency_key is None
        else (_R.id == new.id) | (_R.idempotency_key == new.idempotency_key)
    )
    return conn.execute(select(runs).where(_R.tenant == new.tenant, key)).first()


def add(conn: Connection, tenant: str, id_: str, parts: Sequence[Part], *, sealed: bool = False) -> bool:
    """More items, the last ones if `sealed`; False: the run takes none any more."""
    where: list[Any] = [_R.tenant == tenant, _R.id == id_, ~_R.sealed, OPEN]
    count = sum(part.size for part in parts)
    if not conn.execute(update(runs).where(*where).values(total=_R.total + count, sealed=sealed)).rowcount:
        return False
    _put(conn, tenant, id_, parts)
    return True


def _put(conn: Connection, tenant: str, id_: str, parts: Sequence[Part]) -> None:
    if parts:
        conn.execute(
            insert(run_parts),
            [{"tenant": tenant, "run_id": id_, "first": p.first, "size": p.size, "body": p.body} for p in parts],
        )


def fed(conn: Connection, tenant: str, id_: str, part: Row[Any], rest: Sequence[Part] = ()) -> None:
    """The items of a part are requests now, but for its `rest`."""
    conn.execute(delete(run_parts).where(_P.tenant == tenant, _P.run_id == id_, _P.first == part.first))
    _put(conn, tenant, id_, rest)
    reached = rest[0].first if rest else part.first + part.size
    conn.execute(update(runs).where(_R.tenant == tenant, _R.id == id_, _R.fed < reached).values(fed=reached))


def adopt(conn: Connection, worker: str) -> list[tuple[str, str]]:
    """Runs whose owner has died are this worker's now. One that was being uploaded to it has lost its upload: it is broken off.

    Who lives is asked in the same statement: whoever began since cannot be taken for dead.
    """
    asked = select(_R.tenant, _R.id, _R.sealed).where(OPEN, UNOWNED).order_by(_R.tenant, _R.id)
    found = conn.execute(asked.with_for_update(skip_locked=True)).all()
    for tenant, id_, sealed in found:
        conn.execute(update(runs).where(_R.tenant == tenant, _R.id == id_).values(owner=worker))
        if not sealed:
            break_off(conn, tenant, id_)
    return [(tenant, id_) for tenant, id_, _ in found]


def release(conn: Connection, worker: str) -> None:
    """This worker leaves: others may have its runs at once."""
    conn.execute(update(runs).where(OPEN, _R.owner == worker).values(owner=None))


def cancel(conn: Connection, tenant: str, id_: str) -> bool:
    """One flag, looked at when items are claimed; whether the run was there and had not ended."""
    where: list[Any] = [_R.tenant == tenant, _R.id == id_, OPEN]
    changed = conn.execute(update(runs).where(*where).values(cancelled=True, sealed=True)).rowcount > 0
    if changed:
        row = {"tenant": tenant, "run_id": id_, "at": now(conn)}
        conn.execute(upsert(conn, run_cancels).values(row).on_conflict_do_nothing())
    return changed


def break_off(conn: Connection, tenant: str, id_: str) -> None:
    """Its upload has ended in the middle: it takes no more, and what has not begun does not begin."""
    conn.execute(update(runs).where(_R.tenant == tenant, _R.id == id_, OPEN).values(broken_off=True))
    cancel(conn, tenant, id_)


def seal(conn: Connection, tenant: str, id_: str, content_hash: bytes) -> bool:
    """All items are there; False: it takes none any more."""
    where: list[Any] = [_R.tenant == tenant, _R.id == id_, ~_R.sealed, OPEN]
    return conn.execute(update(runs).where(*where).values(sealed=True, content_hash=content_hash)).rowcount > 0


def stop_waiting(conn: Connection, routes: Routes, tenant: str, id_: str, most: int) -> int:
    """Items of a cancelled run that nobody has begun end at once: claims would come to them a few at a time."""
    found = list(conn.execute(waiting_items(id_, tenant).limit(most)).scalars())
    if found:
        these = CLAIMED.where(requests.c.pk.in_(rows.padded(found)), requests.c.state == "waiting")
        end_rows(conn, routes, these, Status.CANCELLED, None, now(conn))
    return len(found)


def counted(conn: Connection, tenant: str, id_: str, values: Mapping[str, Any]) -> bool:
    """What the items say of it now; False: it had ended."""
    where: list[Any] = [_R.tenant == tenant, _R.id == id_, OPEN]
    return conn.execute(update(runs).where(*where).values(**values)).rowcount > 0


def reopen(conn: Connection, tenant: str, id_: str, owner: str) -> None:
    """Some of its items run again, and those that were never sent go on."""
    values = {"ended_at": None, "status": "running", "owner": owner, "per_s": None}
    conn.execute(update(runs).where(_R.tenant == tenant, _R.id == id_).values(**values))


def allow(conn: Connection, tenant: str, id_: str) -> None:
    """Its items may be called again: it is cancelled no more."""
    conn.execute(update(runs).where(_R.tenant == tenant, _R.id == id_).values(cancelled=False))
    conn.execute(delete(run_cancels).where(_C.tenant == tenant, _C.run_id == id_))
