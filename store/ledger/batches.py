"""A provider's batches: how calls get into them, and whose they are; of the calls themselves see `parked.py`.

A batch has an owner among the workers; of one that is gone, anybody takes it over, fence + 1, and every change of it holds
the fence.

`gathered` → `sent` → `ended`. That a batch is about to be handed over is committed before anything leaves (`first_sent_at`):
whoever finds it so asks the provider first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import uuid_utils
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from store import rows
from store.database import now
from store.ledger.parked import OWNER, STILL_ITS, unsend
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, Park, Step
from store.tables import LOOSE, OPEN_BATCH, batch_items, batches, executions, requests, workers

_LOOK_AT = 20_000
"""Items that wait for a batch, looked at together."""

_R = requests.c
_B = batches.c
_I = batch_items.c
_E = executions.c
_ITEM = rows.upserting(batch_items, lambda statement: statement.on_conflict_do_nothing())
_PARK = update(requests).where(_R.pk == bindparam("the_pk"), _R.fence == bindparam("the_fence")).values(owner=OWNER)
_JOIN = update(batch_items).where(_I.call_id == bindparam("the_id")).values(batch_id=bindparam("the_batch"))


@dataclass(frozen=True, slots=True)
class Gathering:
    """When items go: once so many wait together or weigh so much, or once the first has waited so long."""

    most: int
    bytes: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Batch:
    """One that has not ended, and that is ours."""

    id: str
    provider: str
    model: str
    node: str
    kind: Literal["chat", "embed"]
    state: str
    fence: int
    items: int
    made_at: float
    first_sent_at: float | None
    sent_at: float | None
    remote_id: str | None
    proven: bool
    not_these: frozenset[str]
    due_at: float | None
    stopped_at: float | None


def park(conn: Connection, begun: Sequence[Step], at: float) -> None:
    """Of calls that begin in this transaction those that go into a batch."""
    parked = [(step, step.opens, step.then) for step in begun if isinstance(step.then, Park) and step.opens is not None]
    if not parked:
        return
    rows.many(conn, _ITEM(conn), (_item(step, call, then, at) for step, call, then in parked))
    rows.many(conn, _PARK, ({"the_pk": step.claim.pk, "the_fence": step.claim.fence} for step, _, _ in parked))


def _item(step: Step, call: Call, then: Park, at: float) -> dict[str, Any]:
    return {
        "call_id": call.id,
        "request_pk": step.claim.pk,
        "fence": step.claim.fence,
        "provider": step.claim.provider,
        "model": step.claim.model,
        "node": then.node,
        "kind": then.kind,
        "bucket": then.bucket,
        "due_at": then.due_at,
        "body": then.body,
        "at": at,
        "batch_id": None,
    }


# ---- gathering


def is_any(conn: Connection) -> bool:
    """Whether anything is to be done about batches."""
    loose = select(_I.call_id).where(LOOSE).limit(1)
    return conn.execute(loose).first() is not None or conn.execute(_ANY_OPEN).first() is not None


_ANY_OPEN = select(_B.id).where(OPEN_BATCH).limit(1)


def gather(conn: Connection, worker: str, of: Mapping[str, Gathering]) -> int:
    """Make batches of the items that wait, for these providers; and how many were made."""
    at = now(conn)
    found = conn.execute(
        select(
            _I.call_id,
            _I.provider,
            _I.model,
            _I.node,
            _I.kind,
            _I.bucket,
            _I.due_at,
            _I.at,
            func.length(_I.body).label("size"),
        )
        .where(LOOSE, _I.provider.in_(list(of)))
        .order_by(_I.at, _I.call_id)
        .limit(_LOOK_AT)
        .with_for_update(skip_locked=True)
    ).all()
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in found:
        groups.setdefault((row.provider, row.model, row.node, row.kind, row.bucket), []).append(row)
    made = 0
    for waiting in groups.values():
        for part in _parts(waiting, of[waiting[0].provider], at):
            _make(conn, worker, part, at)
            made += 1
    return made


def _parts(waiting: Sequence[Any], how: Gathering, at: float) -> Iterable[list[Any]]:
    """Whole ones at once; what is left over once its first has waited long enough."""
    part: list[Any] = []
    size = 0
    for row in waiting:
        if part and (len(part) >= how.most or size + row.size > how.bytes):
            yield part
            part, size = [], 0
        part.append(row)
        size += row.size
    if part and (len(part) >= how.most or at - part[0].at >= how.wait_s):
        yield part


def _make(conn: Connection, worker: str, part: Sequence[Any], at: float) -> None:
    first, id_ = part[0], f"gs-{uuid_utils.uuid7()}"
    dues = [row.due_at for row in part if row.due_at is not None]
    conn.execute(
        insert(batches),
        {
            "id": id_,
            "provider": first.provider,
            "model": first.model,
            "node": first.node,
            "kind": first.kind,
            "state": "gathered",
            "owner": worker,
            "fence": 1,
            "items": len(part),
            "made_at": at,
            "due_at": min(dues, default=None),
        },
    )
    rows.many(conn, _JOIN, ({"the_id": row.call_id, "the_batch": id_} for row in part))


# ---- whose they are


def take(conn: Connection, worker: str, providers: Collection[str]) -> list[Batch]:
    """All batches that are ours, with those of the dead that we have taken over."""
    orphan = _B.owner.not_in(select(workers.c.id))
    ids = select(_B.id).where(OPEN_BATCH, orphan, _B.provider.in_(list(providers))).with_for_update(skip_locked=True)
    conn.execute(update(batches).where(_B.id.in_(ids)).values(owner=worker, fence=_B.fence + 1))
    return [_batch(row) for row in conn.execute(select(batches).where(OPEN_BATCH, _B.owner == worker).order_by(_B.id))]


def _batch(row: Any) -> Batch:
    return Batch(
        row.id,
        row.provider,
        row.model,
        row.node,
        row.kind,
        row.state,
        row.fence,
        row.items,
        row.made_at,
        row.first_sent_at,
        row.sent_at,
        row.remote_id,
        bool(row.proven),
        frozenset(orjson.loads(row.not_these or "[]")),
        row.due_at,
        row.stopped_at,
    )


def _change(conn: Connection, batch: Batch, **values: Any) -> bool:
    """False: it is somebody else's now."""
    ours = (_B.id == batch.id) & (_B.fence == batch.fence) & _B.ended_at.is_(None)
    return bool(conn.execute(update(batches).where(ours).values(**values)).rowcount)


def sending(conn: Connection, routes: Routes, batch: Batch) -> list[tuple[str, bytes]] | None:
    """Write down that the provider may have it from now on. Ids and bodies of its calls; None: it is not ours any more.

    Calls that nobody wants any more are left out, as long as it has surely not been sent: they cost nothing.
    """
    at = now(conn)
    if not _change(conn, batch, sent_at=at, first_sent_at=batch.first_sent_at or at):
        return None
    if batch.first_sent_at is None:
        _leave_out(conn, routes, batch, at)
    found = conn.execute(select(_I.call_id, _I.body).where(_I.batch_id == batch.id).order_by(_I.call_id)).all()
    _change(conn, batch, items=len(found))
    return [(row.call_id, row.body) for row in found]


def _leave_out(conn: Connection, routes: Routes, batch: Batch, at: float) -> None:
    wanted = select(_I.call_id).join_from(batch_items, requests, _R.pk == _I.request_pk).where(STILL_ITS)
    gone = conn.execute(select(_I.call_id).where(_I.batch_id == batch.id, _I.call_id.not_in(wanted))).scalars().all()
    unsend(conn, routes, gone, at)


def parcel_of(conn: Connection, batch: Batch) -> list[tuple[str, bytes]]:
    """Its calls, as they were handed over or are to be."""
    found = conn.execute(select(_I.call_id, _I.body).where(_I.batch_id == batch.id).order_by(_I.call_id))
    return [(row.call_id, row.body) for row in found]


def not_sent(conn: Connection, batch: Batch, why: str) -> bool:
    """The provider has refused it as a whole, surely; what is known of earlier tries stands."""
    before = {"sent_at": batch.sent_at, "first_sent_at": batch.first_sent_at}
    return _change(conn, batch, **before, said=rows.plain(why[:500]))


def sent(conn: Connection, batch: Batch, remote_id: str, *, proven: bool) -> bool:
    """The provider has it under this name."""
    return _change(conn, batch, state="sent", remote_id=remote_id, proven=proven, said=None)


def proved(conn: Connection, batch: Batch) -> bool:
    """Its results name our calls."""
    return _change(conn, batch, proven=True)


def mistaken(conn: Connection, batch: Batch) -> bool:
    """What was taken for it is somebody else's."""
    told = orjson.dumps(sorted(batch.not_these | {batch.remote_id or ""})).decode()
    return _change(conn, batch, state="gathered", remote_id=None, not_these=told)


def stopped(conn: Connection, batch: Batch) -> bool:
    """The provider was asked to run no more of it."""
    return _change(conn, batch, stopped_at=now(conn))


def ended(conn: Connection, batch: Batch, why: str) -> bool:
    """All of its calls are closed."""
    if not _change(conn, batch, state="ended", ended_at=now(conn), said=rows.plain(why[:500]) or None):
        return False
    conn.execute(delete(batch_items).where(_I.batch_id == batch.id))
    return True


def known(conn: Connection, provider: str) -> frozenset[str]:
    """The names of the provider's batches that are one of ours."""
    wanted = select(_B.remote_id).where(_B.provider == provider, _B.remote_id.is_not(None))
    return frozenset(str(name) for name in conn.execute(wanted).scalars())


# ---- its calls


def open_calls(conn: Connection, batch: Batch) -> list[str]:
    """Those of its calls that nobody has closed."""
    joined = select(_I.call_id).join_from(batch_items, executions, _E.id == _I.call_id)
    found = conn.execute(joined.where(_I.batch_id == batch.id, _E.outcome.is_(None)).order_by(_I.call_id))
    return list(found.scalars())


def wanted(conn: Connection, batch: Batch) -> int:
    """How many of its calls somebody still waits for."""
    joined = select(func.count()).select_from(batch_items).join(requests, _R.pk == _I.request_pk)
    return int(conn.execute(joined.where(_I.batch_id == batch.id, STILL_ITS)).scalar_one())
