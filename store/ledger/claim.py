"""Rows are leased and slots taken, in the order of `store.ledger.order`, in the same transaction as whatever else waits."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Executable,
    Integer,
    Row,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
    update,
)

from store import rows
from store.database import clock, now
from store.ledger import homes, limits
from store.ledger.choose import Chosen, choose
from store.ledger.end import CLAIMED_COLUMNS, cancel_runs, claimed, expire_rows
from store.ledger.limits import Limits
from store.ledger.order import LANES
from store.ledger.types.claims import Claimed, Pool, Seen, Slot, Want
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call
from store.quick import quick
from store.tables import DELAYED, DUE, bodies, pools, requests, slots, workers

_R = requests.c
_S = slots.c


@dataclass(frozen=True, slots=True)
class Claims:
    """What one claim got: leased rows in their order, and slots that are ours until we free them."""

    rows: tuple[Claimed, ...]
    slots: tuple[Slot, ...]
    asked: frozenset[Pool]
    more: frozenset[Pool]
    """Pools that may have rows left which would fit once what was leased has begun."""
    ended: bool = False
    """Rows ended instead of being leased: expired, or of a cancelled run."""
    seen: Mapping[Pool, Seen] = field(default_factory=dict)
    at: float | None = None
    """The time of the ledger's clock."""
    limits: Limits | None = None
    """What bounds pools and nodes now; None: nothing does."""
    begun: Mapping[int, Call] = field(default_factory=dict)
    """Rows whose first call's intent stands already; each has its slot among these."""
    leaving: frozenset[tuple[Pool, str]] = frozenset()
    """(pool, node) of slots of ours that were closed while we use them: each goes back when its call has ended."""


_BODY = select(bodies.c.value).where(bodies.c.request_pk == _R.pk).scalar_subquery()
_HEADERS = select(bodies.c.headers).where(bodies.c.request_pk == _R.pk).scalar_subquery()
_LEASE = (
    update(requests)
    .where(_R.pk.in_(bindparam("the_pks", expanding=True)), _R.state == "waiting")
    .values(
        state="leased",
        owner=bindparam("the_owner"),
        fence=_R.fence + 1,
        started_at=func.coalesce(_R.started_at, bindparam("the_time")),
    )
    .returning(*CLAIMED_COLUMNS, _BODY.label("value"), _HEADERS.label("headers"))
)
_DUE = select(_R.pk).where(DELAYED, _R.not_before <= bindparam("the_time")).with_for_update(skip_locked=True)
_WAKE = update(requests).where(_R.pk.in_(_DUE)).values(not_before=0)
_FREE = (
    select(_S.provider, _S.model, _S.node, _S.number, type_coerce(_S.reserved, Integer).label("reserved"))
    .where(_S.provider == bindparam("p"), _S.model == bindparam("m"), _S.owner.is_(None), _S.open)
    .order_by(_S.reserved.desc(), _S.number, _S.node)
    .with_for_update(skip_locked=True)
)
ENOUGH = 32
"""Free slots of each kind that a claim looks at first: a pool may have thousands, and each that is looked at is read and locked."""
_SOME = union_all(
    *(
        select(
            _FREE.where(_S.reserved if reserved else ~_S.reserved)
            .limit(literal_column(str(ENOUGH), Integer()))
            .subquery()
        )
        for reserved in (True, False)
    )
)
_TIME = func.coalesce(clock(), bindparam("the_time", type_=Double()))
_STATE = (
    select(
        _TIME.label("now"),
        exists().where(DELAYED, _R.not_before <= _TIME).label("wakes"),
        exists().where(DUE, _R.deadline <= _TIME).label("expires"),
        limits.are_any().label("limited"),
        exists().where(_S.owner == bindparam("w"), ~_S.open).label("leaving"),
    )
    .where(workers.c.id == bindparam("w"))
    .with_for_update(read=True, key_share=True, skip_locked=True, of=workers)
)
"""Nothing: it was declared dead. The shared lock keeps whoever would bury it waiting until our claim is committed."""
_TAKE = (
    update(slots)
    .where(
        _S.provider == bindparam("p"),
        _S.model == bindparam("m"),
        _S.node == bindparam("n"),
        _S.number == bindparam("k"),
        _S.owner.is_(None),
    )
    .values(owner=bindparam("w"))
)


quick(_LEASE, _WAKE, _FREE, _SOME, _STATE, _TAKE)


def known_pools(conn: Connection) -> list[Pool]:
    """Every pool that has slots: whatever was accepted made its own."""
    return [(row.provider, row.model) for row in conn.execute(select(_S.provider, _S.model).distinct())]


def ensure_slots(
    conn: Connection, wanted: Sequence[tuple[Pool, str, int]], *, placed: bool = False, used: bool = True
) -> frozenset[Pool]:
    """Make the slots of (pool, node, count) as many as they should be; `floor(0.2 * slots)` of a pool are kept from batch.
    The pools that are there.

    `placed`: new ones are closed, and which are open and which are kept is for `homes` to say. `used`: the pool is needed
    now; else it stays as unused as it was, and one that is gone stays away.
    """
    there: set[Pool] = set()
    for pool, nodes in _by_pool(wanted).items():
        if used:
            _needs(conn, pool)
        elif not _is_there(conn, pool):
            continue
        there.add(pool)
        total = sum(nodes.values())
        places = [(node, number) for node, count in sorted(nodes.items()) for number in range(count)]
        reserved = total // 5
        statement = rows.upsert(conn, slots)
        keys = ["provider", "model", "node", "number"]
        if placed:
            statement = statement.on_conflict_do_nothing(index_elements=keys)
        else:
            kept = {"reserved": statement.excluded.reserved, "open": True}
            statement = statement.on_conflict_do_update(index_elements=keys, set_=kept)
        rows.many(
            conn,
            statement,
            (
                {
                    "provider": pool[0],
                    "model": pool[1],
                    "node": node,
                    "number": number,
                    "reserved": not placed and i < reserved,
                    "owner": None,
                    "open": not placed,
                }
                for i, (node, number) in enumerate(places)
            ),
        )
        _drop_surplus(conn, pool, set(places))
    return frozenset(there)


def _needs(conn: Connection, pool: Pool) -> None:
    """Before its slots: whoever drops it goes first, or leaves it."""
    statement = rows.upsert(conn, pools).values(provider=pool[0], model=pool[1], used_at=now(conn), answered=False)
    kept = {"used_at": statement.excluded.used_at}
    conn.execute(statement.on_conflict_do_update(index_elements=["provider", "model"], set_=kept))


def _is_there(conn: Connection, pool: Pool) -> bool:
    """Locked, too. A program that knows nothing of `pools` makes slots alone: those count as used now."""
    named = (pools.c.provider == pool[0], pools.c.model == pool[1])
    if conn.execute(select(pools.c.provider).where(*named).with_for_update()).first() is not None:
        return True
    has_slots = conn.execute(select(_S.node).where(_S.provider == pool[0], _S.model == pool[1]).limit(1)).first()
    if has_slots is not None:
        _needs(conn, pool)
    return has_slots is not None


def _by_pool(wanted: Sequence[tuple[Pool, str, int]]) -> dict[Pool, dict[str, int]]:
    pools: dict[Pool, dict[str, int]] = {}
    for pool, node, count in sorted(wanted):
        pools.setdefault(pool, {})[node] = count
    return pools


def _drop_surplus(conn: Connection, pool: Pool, places: set[tuple[str, int]]) -> None:
    """Nodes and slots that the settings no longer name; one in use goes when it is idle and this runs again."""
    found = conn.execute(
        select(_S.node, _S.number).where(_S.provider == pool[0], _S.model == pool[1], _S.owner.is_(None))
    )
    for node, number in found.all():
        if (node, number) not in places:
            conn.execute(
                slots.delete().where(_S.provider == pool[0], _S.model == pool[1], _S.node == node, _S.number == number)
            )


def claim(conn: Connection, routes: Routes, worker: str, wants: Sequence[Want]) -> Claims:
    """Lease rows for the free slots and as many ahead as the worker has slots, and take the slots that rows can use at once.

    A worker that was declared dead, and does not know it yet, gets nothing: nobody would ever take it back from it.
    """
    asked = frozenset(want.pool for want in wants)
    state = conn.execute(_STATE, {"w": worker, "the_time": time.time()}).first()
    if state is None:
        return Claims((), (), asked, frozenset())
    at = state.now
    if state.wakes:
        conn.execute(_WAKE, {"the_time": at})
    ended = state.expires and expire_rows(conn, routes, at) > 0
    known = limits.locked(conn, asked, at) if state.limited else None
    leased: list[Claimed] = []
    taken: list[Slot] = []
    more: set[Pool] = set()
    seen: dict[Pool, Seen] = {}
    for want in wants:
        free, room, chosen = _looked(conn, want, known, at)
        gone = cancel_runs(conn, routes, at, [pk for pk, run_id in chosen.rows if run_id is not None])
        ended = ended or bool(gone)
        rows_ = _lease(conn, worker, [pk for pk, _ in chosen.rows if pk not in gone], at)
        leased += rows_
        seen[want.pool] = chosen.seen
        if chosen.more or gone:
            more.add(want.pool)
        lanes = [want.ready[lane] + sum(1 for row in rows_ if row.lane == lane) for lane in range(LANES)]
        taken += _take(conn, worker, free, lanes, room, lent=chosen.seen.lent)
    if known is not None:
        limits.try_doors(conn, known, taken)
    leaving = frozenset(homes.leaving(conn, worker)) if state.leaving else frozenset()
    return Claims(
        tuple(leased),
        tuple(taken),
        asked,
        frozenset(more),
        ended,
        seen=seen,
        at=at,
        limits=known,
        leaving=leaving,
    )


def _looked(conn: Connection, want: Want, known: Limits | None, at: float) -> tuple[list[Row[Any]], int, Chosen]:
    """The free slots that may be taken, how many of them, and the rows. All slots are looked at where it matters at which
    node they are, and where there is work for more than some.
    """
    some = known is None and not want.first
    free, room, chosen = _seen(conn, want, known, at, _SOME if some else _FREE)
    if some and len(free) >= ENOUGH and sum(want.ready) + len(chosen.rows) >= ENOUGH:
        return _seen(conn, want, known, at, _FREE)
    return free, room, chosen


def _seen(
    conn: Connection, want: Want, known: Limits | None, at: float, asked: Executable
) -> tuple[list[Row[Any]], int, Chosen]:
    free, room = _usable(conn, want, known, asked)
    for_batch = min(room, sum(1 for row in free if not row.reserved))
    return free, room, choose(conn, want, room, for_batch, at)


def _usable(conn: Connection, want: Want, known: Limits | None, asked: Executable) -> tuple[list[Row[Any]], int]:
    free = list(conn.execute(asked, {"p": want.pool[0], "m": want.pool[1]}))
    if want.first:
        free.sort(key=lambda row: (not row.reserved, row.node not in want.first))
    return (free, len(free)) if known is None else limits.fitting(conn, known, want.pool, free)


def _lease(conn: Connection, worker: str, pks: Sequence[int], at: float) -> list[Claimed]:
    if not pks:
        return []
    told = {"the_pks": rows.padded(pks), "the_owner": worker, "the_time": at}
    found = [claimed(row) for row in conn.execute(_LEASE, told)]
    for row in found:
        row.leased_at = row.at = at
    place = {pk: i for i, pk in enumerate(pks)}
    return sorted(found, key=lambda row: place[row.pk])


def _take(
    conn: Connection, worker: str, free: Sequence[Row[Any]], lanes: Sequence[int], room: int, *, lent: bool = False
) -> list[Slot]:
    """As many slots as rows can use and there is room for: reserved ones for realtime and normal rows, unless they are lent."""
    urgent, batch = lanes[0] + lanes[1], lanes[2]
    taken: list[Slot] = []
    for row in free:
        if len(taken) >= room:
            break
        if urgent > 0:
            urgent -= 1
        elif batch > 0 and (lent or not row.reserved):
            batch -= 1
        else:
            continue
        taken.append(Slot(row.provider, row.model, row.node, row.number, bool(row.reserved)))
    rows.many(conn, _TAKE, ({"p": s.provider, "m": s.model, "n": s.node, "k": s.number, "w": worker} for s in taken))
    return taken
