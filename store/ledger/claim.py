"""Rows are leased and slots taken, best lane first, in the same transaction as whatever else waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from store import rows
from store.database import now
from store.ledger.end import CLAIMED, cancel_runs, claimed, expire_rows
from store.ledger.types import Claimed, Pool, Routes, Slot, Want
from store.tables import CLAIMABLE, DELAYED, requests, slots, workers

_R = requests.c
_S = slots.c
LANES = 3


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


_LEASE = (
    update(requests)
    .where(_R.pk.in_(bindparam("the_pks", expanding=True)), _R.state == "waiting")
    .values(
        state="leased",
        owner=bindparam("the_owner"),
        fence=_R.fence + 1,
        started_at=func.coalesce(_R.started_at, bindparam("the_time")),
    )
)
_DUE = select(_R.pk).where(DELAYED, _R.not_before <= bindparam("the_time")).with_for_update(skip_locked=True)
_WAKE = update(requests).where(_R.pk.in_(_DUE)).values(not_before=0)
_LEASED = CLAIMED.where(_R.pk.in_(bindparam("the_pks", expanding=True)))
_CHOOSE = (
    select(_R.pk)
    .where(
        CLAIMABLE,
        _R.provider == bindparam("p"),
        _R.model == bindparam("m"),
        _R.lane.between(bindparam("lane"), bindparam("lane")),
    )
    # not `lane = :lane ORDER BY pk`: PostgreSQL takes state and lane for independent and, in a flood of another lane,
    # walks the primary key past every row of it; only the index of what is claimable is in the order of lane and pk
    .order_by(_R.lane, _R.pk)
    .limit(bindparam("room"))
    .with_for_update(skip_locked=True)
)
_FREE = (
    select(slots)
    .where(_S.provider == bindparam("p"), _S.model == bindparam("m"), _S.owner.is_(None))
    .order_by(_S.reserved.desc(), _S.number, _S.node)
    .with_for_update(skip_locked=True)
)
_LIVES = (
    select(workers.c.id)
    .where(workers.c.id == bindparam("w"))
    .with_for_update(read=True, key_share=True, skip_locked=True)
)
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


def known_pools(conn: Connection) -> list[Pool]:
    """Every pool that has slots: whatever was accepted made its own."""
    return [(row.provider, row.model) for row in conn.execute(select(_S.provider, _S.model).distinct())]


def ensure_slots(conn: Connection, wanted: Sequence[tuple[Pool, str, int]]) -> None:
    """Make the slots of (pool, node, count) as many as they should be; `floor(0.2 * slots)` of a pool are kept from batch."""
    for pool, nodes in _by_pool(wanted).items():
        total = sum(nodes.values())
        places = [(node, number) for node, count in sorted(nodes.items()) for number in range(count)]
        reserved = total // 5
        statement = rows.upsert(conn, slots)
        statement = statement.on_conflict_do_update(
            index_elements=["provider", "model", "node", "number"], set_={"reserved": statement.excluded.reserved}
        )
        rows.many(
            conn,
            statement,
            (
                {
                    "provider": pool[0],
                    "model": pool[1],
                    "node": node,
                    "number": number,
                    "reserved": i < reserved,
                    "owner": None,
                }
                for i, (node, number) in enumerate(places)
            ),
        )
        _drop_surplus(conn, pool, set(places))


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
    """Lease rows for the free slots and as many again ahead, and take the slots that rows can use at once.

    A worker that was declared dead, and does not know it yet, gets nothing: nobody would ever take it back from it.
    """
    asked = frozenset(want.pool for want in wants)
    if not _lives(conn, worker):
        return Claims((), (), asked, frozenset())
    at = now(conn)
    _wake_delayed(conn, at)
    ended = expire_rows(conn, routes, at) > 0
    leased: list[Claimed] = []
    taken: list[Slot] = []
    more: set[Pool] = set()
    for want in wants:
        free = [row for row in _free(conn, want.pool) if row.node not in want.avoid]
        pks, full = _choose(conn, want, len(free))
        if pks and (gone := cancel_runs(conn, routes, at, pks)):
            pks = [pk for pk in pks if pk not in gone]
            ended = True
        rows_ = _lease(conn, worker, pks, at)
        leased += rows_
        if full:
            more.add(want.pool)
        lanes = [want.ready[lane] + sum(1 for row in rows_ if row.lane == lane) for lane in range(LANES)]
        taken += _take(conn, worker, free, lanes)
    return Claims(tuple(leased), tuple(taken), asked, frozenset(more), ended)


def _lives(conn: Connection, worker: str) -> bool:
    """Whether it has joined; the shared lock keeps whoever would bury it waiting until our claim is committed."""
    return conn.execute(_LIVES, {"w": worker}).first() is not None


def _wake_delayed(conn: Connection, at: float) -> None:
    conn.execute(_WAKE, {"the_time": at})


def _free(conn: Connection, pool: Pool) -> list[Row[Any]]:
    return list(conn.execute(_FREE, {"p": pool[0], "m": pool[1]}))


def _choose(conn: Connection, want: Want, free: int) -> tuple[list[int], bool]:
    """Per lane, what the free slots and one pool's worth ahead can hold beside what is ready in it and in better lanes.

    A full shelf of batch rows never hides a realtime row: its lane's room is counted without them.
    """
    chosen: list[int] = []
    held = 0
    full = False
    for lane in range(LANES):
        held += want.ready[lane]
        room = free + want.total - held
        if room <= 0:
            full = True
            continue
        place = {"p": want.pool[0], "m": want.pool[1], "lane": lane, "room": room}
        found = list(conn.execute(_CHOOSE, place).scalars())
        full = full or len(found) == room
        held += len(found)
        chosen += found
    return chosen, full


def _lease(conn: Connection, worker: str, pks: Sequence[int], at: float) -> list[Claimed]:
    if not pks:
        return []
    conn.execute(_LEASE, {"the_pks": pks, "the_owner": worker, "the_time": at})
    found = [claimed(row) for row in conn.execute(_LEASED, {"the_pks": pks})]
    for row in found:
        row.leased_at = at
    return sorted(found, key=lambda row: (row.lane, row.pk))


def _take(conn: Connection, worker: str, free: Sequence[Row[Any]], lanes: Sequence[int]) -> list[Slot]:
    """As many slots as rows can use: reserved ones for realtime and normal rows only."""
    urgent, batch = lanes[0] + lanes[1], lanes[2]
    taken: list[Slot] = []
    for row in free:
        if urgent > 0:
            urgent -= 1
        elif batch > 0 and not row.reserved:
            batch -= 1
        else:
            continue
        taken.append(Slot(row.provider, row.model, row.node, row.number, row.reserved))
    rows.many(conn, _TAKE, ({"p": s.provider, "m": s.model, "n": s.node, "k": s.number, "w": worker} for s in taken))
    return taken
