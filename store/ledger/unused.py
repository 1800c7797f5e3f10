"""Pools that nobody has used for a while: their slots go, and come back when a request needs them.

A row of `pools` says when its pool was used last. Whoever is about to accept a row of a pool has said so less than
`SAID_S` ago, so that nobody drops it meanwhile, whatever the others do. Only what a program accepts that knows nothing of
this, or a process that the database was away from for longer, finds no slots: `bare` shows it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    union,
    update,
)

from store.database import now
from store.ledger.types.claims import Pool
from store.tables import CLAIMABLE, DELAYED, FOLLOWS, QUEUED, pool_limits, pools, requests, slots

IDLE_S = 180.0
SAID_S = IDLE_S / 2
"""So long a process may go by what it has said; the other half is left for its transaction."""

_P = pools.c
_S = slots.c
_R = requests.c
_NAMED = (_P.provider == bindparam("p"), _P.model == bindparam("m"))
_TOUCH = (
    update(pools)
    .where(*_NAMED)
    .values(used_at=bindparam("the_time"), answered=or_(_P.answered, bindparam("has_answered")))
)
_STALE = (
    _P.used_at < bindparam("since"),
    ~exists().where(_S.provider == _P.provider, _S.model == _P.model, _S.owner.is_not(None)),
    ~exists().where(CLAIMABLE, _R.provider == _P.provider, _R.model == _P.model),
)
_FIND = select(_P.provider, _P.model).where(*_STALE).order_by(_P.provider, _P.model)
_PARKED = union(
    *(
        select(_R.provider, _R.model).where(condition)
        for condition in (DELAYED, QUEUED, FOLLOWS, text("owner IS NOT NULL"), _R.state == "held")
    )
)
"""Each kind is in an index of its own."""
_LOCK = select(_P.provider).where(*_NAMED, *_STALE).with_for_update(skip_locked=True, of=pools)
_OF_POOL = (_S.provider == bindparam("p"), _S.model == bindparam("m"))
_SLOTS = select(func.count()).select_from(slots).where(*_OF_POOL)
_FREE = select(_S.number).where(*_OF_POOL, _S.owner.is_(None)).order_by(_S.node, _S.number).with_for_update()


def _bare() -> Select[Any]:
    """A loose scan over a provider's models: from one that has rows to the next one, however many it has."""
    seen = select(cast(literal(""), Text()).label("model")).cte("seen", recursive=True)
    following = (
        select(_R.model)
        .where(CLAIMABLE, _R.provider == bindparam("p"), _R.model > seen.c.model)
        .order_by(_R.model)
        .limit(1)
        .correlate(seen)
        .scalar_subquery()
    )
    seen = seen.union_all(select(following).where(seen.c.model.is_not(None)))
    has_slots = exists().where(_S.provider == bindparam("p"), _S.model == seen.c.model)
    return select(seen.c.model).where(seen.c.model > "", ~has_slots)


_BARE = _bare()


def touch(conn: Connection, used: Mapping[Pool, bool]) -> frozenset[Pool]:
    """These are used now, and have answered where it says so. Those that there are."""
    at = now(conn)
    told = {pool: {"p": pool[0], "m": pool[1], "the_time": at, "has_answered": used[pool]} for pool in sorted(used)}
    return frozenset(pool for pool, values in told.items() if conn.execute(_TOUCH, values).rowcount)


def find(conn: Connection) -> frozenset[Pool]:
    """Pools that were not used for `IDLE_S`, in which nothing runs and no row may be claimed."""
    return frozenset((row.provider, row.model) for row in conn.execute(_FIND, {"since": now(conn) - IDLE_S}))


def parked(conn: Connection) -> frozenset[Pool]:
    """Pools of rows that have not ended and that nobody may claim now."""
    return frozenset((row.provider, row.model) for row in conn.execute(_PARKED))


def drop(conn: Connection, found: Iterable[Pool]) -> int:
    """Those of them that are unused still; how many they were. What somebody makes or speaks of now is left alone; who only
    looks for free slots is waited for, since claims look again and again.
    """
    since = now(conn) - IDLE_S
    return sum(_drop(conn, pool, since) for pool in sorted(found))


def _drop(conn: Connection, pool: Pool, since: float) -> bool:
    """The row of `pools` is locked first, as where slots are made, and of slots only free ones: nobody gives those back."""
    named = {"p": pool[0], "m": pool[1]}
    if conn.execute(_LOCK, {**named, "since": since}).first() is None:
        return False
    if len(conn.execute(_FREE, named).all()) < conn.execute(_SLOTS, named).scalar_one():
        return False
    for table in (slots, pool_limits, pools):
        conn.execute(delete(table).where(table.c.provider == pool[0], table.c.model == pool[1]))
    return True


def bare(conn: Connection, providers: Iterable[str]) -> list[Pool]:
    """Pools of these providers without slots in which rows may be claimed."""
    return [(name, model) for name in sorted(providers) for model in conn.execute(_BARE, {"p": name}).scalars()]
