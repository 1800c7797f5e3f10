"""Limits that all processes obey, in two small tables that are empty when nothing is limited.

What a call showed is written only while there is something to say: refusals, and answers of a pool or node that has a row.
A claim looks here only when its own first statement says that there are rows. It locks those that it goes by and passes
over what another process has locked, so that nobody waits here in a ring.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, func, select, tuple_

from store import rows
from store.database import now
from store.ledger import throttle
from store.ledger.throttle import Door, Heard, Throttle
from store.ledger.types.claims import Pool, Slot
from store.tables import doors, pool_limits, slots

_P = pool_limits.c
_D = doors.c
_S = slots.c
Place = tuple[str, str]
"""(provider, node)"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the ledger says at `at`."""

    at: float = 0.0
    pools: dict[Pool, Throttle] = field(default_factory=dict)
    doors: dict[Place, Door] = field(default_factory=dict)
    unseen: frozenset[object] = frozenset()
    """Pools and doors that another process has locked: they are left alone until the next claim."""


def are_any() -> ColumnElement[bool]:
    """A column for a statement that is sent anyway."""
    return exists(select(_P.provider)) | exists(select(_D.provider))


_POOLS = select(pool_limits).order_by(_P.provider, _P.model)
_DOORS = select(doors).order_by(_D.provider, _D.node)


def read(conn: Connection) -> Limits:
    """Everything, without a lock, for whoever shows it."""
    pools = {(row.provider, row.model): _throttle(row) for row in conn.execute(_POOLS)}
    return Limits(now(conn), pools, {(row.provider, row.node): _door(row) for row in conn.execute(_DOORS)})


def locked(conn: Connection, wanted: Collection[Pool], at: float) -> Limits:
    """What a claim of these pools goes by. Where a call may be tried or a place counted, the row is locked."""
    pools = {(row.provider, row.model): _throttle(row) for row in conn.execute(_POOLS)}
    places = {(row.provider, row.node): _door(row) for row in conn.execute(_DOORS)}
    counted = {pool for pool in wanted if pool in pools and pools[pool].paused_until <= at}
    knocked = {
        place for place, door in places.items() if throttle.stands(door, at) == "trial" and _is_wanted(place, wanted)
    }
    ours: set[object] = set()
    if counted:
        found = select(pool_limits).where(tuple_(_P.provider, _P.model).in_(rows.padded(sorted(counted))))
        for row in conn.execute(found.with_for_update(skip_locked=True)):
            pools[row.provider, row.model] = _throttle(row)
            ours.add(("pool", row.provider, row.model))
    if knocked:
        at_door = select(doors).where(tuple_(_D.provider, _D.node).in_(rows.padded(sorted(knocked))))
        for row in conn.execute(at_door.with_for_update(skip_locked=True)):
            places[row.provider, row.node] = _door(row)
            ours.add(("door", row.provider, row.node))
    unseen = {("pool", *pool) for pool in counted} | {("door", *place) for place in knocked}
    return Limits(at, pools, places, frozenset(unseen - ours))


def _is_wanted(place: Place, wanted: Collection[Pool]) -> bool:
    return any(provider == place[0] for provider, _ in wanted)


_COUNT = select(func.count().label("slots"), func.count(_S.owner).label("busy")).where(
    _S.provider == bindparam("p"), _S.model == bindparam("m"), _S.open | _S.owner.is_not(None)
)


def fitting(conn: Connection, known: Limits, pool: Pool, free: Sequence[Row[Any]]) -> tuple[list[Row[Any]], int]:
    """Of the free slots those at open doors, one at a door that is to be tried, and how many of them may be taken."""
    left: list[Row[Any]] = []
    seen: set[str] = set()
    for row in free:
        place = (row.provider, row.node)
        state = throttle.stands(known.doors.get(place, Door()), known.at)
        if state == "open" or (state == "trial" and row.node not in seen and ("door", *place) not in known.unseen):
            left.append(row)
            seen.add(row.node)
    found = known.pools.get(pool)
    if found is None:
        return left, len(left)
    if ("pool", *pool) in known.unseen:
        return [], 0
    counted = conn.execute(_COUNT, {"p": pool[0], "m": pool[1]}).one()
    return left, min(len(left), throttle.room(found, known.at, busy=counted.busy, slots=counted.slots))


def try_doors(conn: Connection, known: Limits, taken: Sequence[Slot]) -> None:
    """A slot at a shut door was taken: its one call goes to see."""
    for place in sorted({(slot.provider, slot.node) for slot in taken} & known.doors.keys()):
        if throttle.stands(known.doors[place], known.at) == "trial":
            known.doors[place] = throttle.tried(known.doors[place], known.at)
            _write_door(conn, place, known.doors[place])


def learn(conn: Connection, heard: Sequence[Heard], freed: Sequence[Slot]) -> None:
    """What calls showed, of all pools and doors of this batch, in one order. `freed`: slots that it has given back: when
    those calls ended they were in use.
    """
    if not heard:
        return
    at = now(conn)
    for pool in sorted({(one.provider, one.model) for one in heard}):
        back = sum(1 for slot in freed if (slot.provider, slot.model) == pool)
        _learn_pool(conn, pool, [one for one in heard if (one.provider, one.model) == pool], back, at)
    for place in sorted({(one.provider, one.node) for one in heard}):
        _learn_door(conn, place, [one for one in heard if (one.provider, one.node) == place], at)


def _learn_pool(conn: Connection, pool: Pool, heard: Sequence[Heard], back: int, at: float) -> None:
    here = (_P.provider == pool[0], _P.model == pool[1])
    row = conn.execute(select(pool_limits).where(*here).with_for_update()).first()
    before = Throttle() if row is None else _throttle(row)
    if row is None and not any(one.cuts or one.pause_s > 0 for one in heard):
        return
    counted = conn.execute(_COUNT, {"p": pool[0], "m": pool[1]}).one()
    after = before
    for one in heard:
        after = throttle.hear(after, one, at, busy=counted.busy + back, slots=counted.slots)
    if throttle.is_over(after, at):
        conn.execute(pool_limits.delete().where(*here))
    elif after != before:
        _put(conn, pool_limits, ("provider", "model"), pool, after)


def _learn_door(conn: Connection, place: Place, heard: Sequence[Heard], at: float) -> None:
    here = (_D.provider == place[0], _D.node == place[1])
    row = conn.execute(select(doors).where(*here).with_for_update()).first()
    before = Door() if row is None else _door(row)
    after = before
    for one in heard:
        after = throttle.knock(after, one, at)
    if after == before:
        return
    if after == Door():
        conn.execute(doors.delete().where(*here))
    else:
        _write_door(conn, place, after)


def _write_door(conn: Connection, place: Place, door: Door) -> None:
    _put(conn, doors, ("provider", "node"), place, door)


def _put(conn: Connection, table: Any, keys: tuple[str, str], place: tuple[str, str], state: Throttle | Door) -> None:
    told = {name: getattr(state, name) for name in state.__slots__}
    statement = rows.upsert(conn, table).values(dict(zip(keys, place, strict=True)) | told)
    conn.execute(statement.on_conflict_do_update(index_elements=keys, set_=told))


def _throttle(row: Row[Any]) -> Throttle:
    return Throttle(row.paused_until, row.ceiling, row.cut_at)


def _door(row: Row[Any]) -> Door:
    return Door(row.failures, row.shut_until)
