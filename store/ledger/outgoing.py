"""The relay's side: which destination partitions are ours, what waits there, what was published."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from store import rows
from store.ledger.types import OutboxRow
from store.tables import ledgers, outbox, relays

_O = outbox.c
_L = relays.c
Place = tuple[str, int]


def lease_places(conn: Connection, worker: str, known: Sequence[Place]) -> set[Place]:
    """Lease every destination partition that has records and no owner; returns all that are ours."""
    waiting = set(conn.execute(select(_O.topic, _O.partition).distinct()).tuples()) | set(known)
    owned = set(conn.execute(select(_L.topic, _L.partition)).tuples())
    free = sorted(waiting - owned)
    rows.many(
        conn,
        rows.upsert(conn, relays).on_conflict_do_nothing(),
        ({"topic": topic, "partition": partition, "owner": worker} for topic, partition in free),
    )
    return set(conn.execute(select(_L.topic, _L.partition).where(_L.owner == worker)).tuples())


def pending(conn: Connection, worker: str, limit: int, after: int = 0) -> list[OutboxRow]:
    """The oldest unpublished records of our partitions, in the order of their making."""
    columns = (_O.pk, _O.topic, _O.partition, _O.number, _O.key, _O.value, _O.headers)
    wanted = (
        select(*columns)
        .join(relays, (_L.topic == _O.topic) & (_L.partition == _O.partition))
        .where(_L.owner == worker, _O.pk > after)
        .order_by(_O.pk)
        .limit(limit)
    )
    ledger = ledger_id(conn)
    return [
        OutboxRow(
            row.pk,
            row.topic,
            row.partition,
            row.key,
            row.value,
            rows.unpack_headers(row.headers) + _numbered(ledger, row.number),
        )
        for row in conn.execute(wanted)
    ]


def _numbered(ledger: str, number: int | None) -> list[tuple[str, bytes]]:
    if number is None:
        return []
    return [("genai-ledger", ledger.encode()), ("genai-number", str(number).encode())]


def ledger_id(conn: Connection) -> str:
    """This ledger's name; a new database starts its numbers anew, and says so by another name."""
    return str(conn.execute(select(ledgers.c.id)).scalar_one())


def mark(conn: Connection, pks: Sequence[int]) -> None:
    """Published: the rows go."""
    if pks:
        conn.execute(delete(outbox).where(_O.pk.in_(pks)))


def replace(conn: Connection, pk: int, value: bytes) -> None:
    """Another value for a record that the broker refuses."""
    conn.execute(update(outbox).where(_O.pk == pk).values(value=value))
