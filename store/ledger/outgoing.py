"""The relay's side: which destination partitions are ours, what waits there, what was published."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from store import rows
from store.ledger.types.records import OutboxRow
from store.quick import quick
from store.tables import ledgers, numbers, outbox, relays, workers

_O = outbox.c
_L = relays.c
_RELAYED = (_L.topic == _O.topic) & (_L.partition == _O.partition)
_UNOWNED = select(_O.pk).join(relays, _RELAYED, isouter=True).where(_L.owner.is_(None)).limit(1)
_OLDEST = (
    select(_O.pk, func.length(_O.value))
    .join(relays, _RELAYED)
    .where(_L.owner == bindparam("worker"))
    .order_by(_O.pk)
    .limit(bindparam("most"))
)
_FEW = 8
_FIRST = select(outbox).join(relays, _RELAYED).where(_L.owner == bindparam("worker")).order_by(_O.pk).limit(_FEW)
_READ = select(outbox).where(_O.pk.in_(bindparam("pks", expanding=True))).order_by(_O.pk)
_MARK = delete(outbox).where(_O.pk.in_(bindparam("pks", expanding=True)))
_LEDGER = select(ledgers.c.id)


_ALIVE = (
    select(workers.c.id)
    .where(workers.c.id == bindparam("worker"))
    .with_for_update(read=True, key_share=True, skip_locked=True)
)
"""As in a claim: nothing, when it was declared dead; else whoever would bury it waits until its lease is committed."""


quick(_UNOWNED, _OLDEST, _FIRST, _READ, _MARK, _LEDGER, _ALIVE)


def lease_places(conn: Connection, worker: str) -> None:
    """Lease every destination partition that has records and no owner. A worker that was declared dead, and does not know it
    yet, gets nothing: nobody would ever take it back from it, and those records would never be published.
    """
    if conn.execute(_ALIVE, {"worker": worker}).first() is None:
        return
    waiting = {(row.topic, row.partition) for row in conn.execute(select(_O.topic, _O.partition).distinct())}
    owned = {(row.topic, row.partition) for row in conn.execute(select(_L.topic, _L.partition))}
    rows.many(
        conn,
        rows.upsert(conn, relays).on_conflict_do_nothing(),
        ({"topic": topic, "partition": partition, "owner": worker} for topic, partition in sorted(waiting - owned)),
    )


def unowned(conn: Connection) -> bool:
    """Whether a destination partition has records and no owner."""
    return conn.execute(_UNOWNED).first() is not None


def waits(conn: Connection, worker: str) -> bool:
    """Whether anything of our partitions is unpublished."""
    return conn.execute(_OLDEST, {"worker": worker, "most": 1}).first() is not None


_LEAP = 10**9
_MOST_VALUES = 10_000
"""In one statement; both databases stop at 32,767."""
MAX_BYTES = 16 * 1024 * 1024


def pending(conn: Connection, worker: str, limit: int, ledger: str) -> list[OutboxRow]:
    """The oldest unpublished records of our partitions, in the order of their making; at most 16 MiB of them, or one.

    `ledger` is its name (`ledger_id`). A few are read in one round trip: somebody waits for each.
    """
    found = conn.execute(_FIRST, {"worker": worker}).all()
    if len(found) == _FEW < limit:
        found = _up_to(conn, worker, limit)
    return [
        OutboxRow(
            row.pk,
            row.topic,
            row.partition,
            row.key,
            row.value,
            rows.unpack_headers(row.headers) + _numbered(ledger, row.number),
        )
        for row in found[:limit]
    ]


def _up_to(conn: Connection, worker: str, limit: int) -> Sequence[Row[Any]]:
    chosen: list[int] = []
    total = 0
    for pk, size in conn.execute(_OLDEST, {"worker": worker, "most": limit}):
        total += size or 0
        if chosen and total > MAX_BYTES:
            break
        chosen.append(pk)
    return conn.execute(_READ, {"pks": rows.padded(chosen)}).all()


def _numbered(ledger: str, number: int | None) -> list[tuple[str, bytes]]:
    if number is None:
        return []
    return [("genai-ledger", ledger.encode()), ("genai-number", str(number).encode())]


def ledger_id(conn: Connection) -> str:
    """This ledger's name; a new database starts its numbers anew, and says so by another name."""
    return str(conn.execute(_LEDGER).scalar_one())


def leap(conn: Connection) -> None:
    """Usage events are numbered on far above what this ledger has given: one that was restored from a backup would give
    numbers again that readers have seen since, and they would drop the new events for repetitions.
    """
    conn.execute(update(numbers).values(last=numbers.c.last + _LEAP))


def mark(conn: Connection, pks: Sequence[int]) -> None:
    """Published: the rows go."""
    for i in range(0, len(pks), _MOST_VALUES):
        conn.execute(_MARK, {"pks": rows.padded(pks[i : i + _MOST_VALUES])})


def replace(conn: Connection, pk: int, value: bytes) -> None:
    """Another value for a record that the broker refuses."""
    conn.execute(update(outbox).where(_O.pk == pk).values(value=value))
