"""A slot that is free and that no row waits for, for a second call beside one that takes long."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, exists, select, update

from store.ledger.types.claims import Pool, Slot
from store.tables import CLAIMABLE, requests, slots, workers

_R = requests.c
_S = slots.c
_FREE = (
    select(_S.node, _S.number)
    .where(_S.provider == bindparam("p"), _S.model == bindparam("m"), _S.owner.is_(None), _S.open, ~_S.reserved)
    .order_by(_S.node, _S.number)
)
_ARE_WAITED_FOR = select(
    exists().where(CLAIMABLE, _R.provider == bindparam("p"), _R.model == bindparam("m")).label("are")
)
_LIVES = select(workers.c.id).where(workers.c.id == bindparam("w")).with_for_update(read=True, key_share=True)
"""Whoever would bury it waits until the slot is committed, as with a claim."""
_TAKE = (
    update(slots)
    .where(
        _S.provider == bindparam("p"),
        _S.model == bindparam("m"),
        _S.node == bindparam("n"),
        _S.number == bindparam("k"),
        _S.owner.is_(None),
        _S.open,
    )
    .values(owner=bindparam("w"))
)


def find(conn: Connection, pool: Pool, node: str, closed: Collection[str]) -> Slot | None:
    """At another node than `node`, if there is one; None: there is none, or rows wait for it. It is not taken yet."""
    of = {"p": pool[0], "m": pool[1]}
    if conn.execute(_ARE_WAITED_FOR, of).scalar_one():
        return None
    free = [row for row in conn.execute(_FREE, of) if row.node not in closed]
    found = min(free, key=lambda row: row.node == node, default=None)
    return None if found is None else Slot(*pool, found.node, found.number, reserved=False)


def take(conn: Connection, worker: str, slot: Slot) -> bool:
    """False: somebody was faster, or the worker was declared dead."""
    if conn.execute(_LIVES, {"w": worker}).first() is None:
        return False
    told = {"p": slot.provider, "m": slot.model, "n": slot.node, "k": slot.number, "w": worker}
    return bool(conn.execute(_TAKE, told).rowcount)
