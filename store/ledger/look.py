"""What is known of a batch of arrivals before anything is decided of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select, text, tuple_

from store import rows
from store.database import clock, now
from store.ledger.policy import Known
from store.ledger.purse import VERSION
from store.ledger.types.arrivals import Arrival
from store.ledger.types.records import Position
from store.quick import quick
from store.tables import cancels, intake_progress, positions, requests, results

_R = requests.c
_P = intake_progress.c

_WAITS = exists().select_from(cancels).label("cancels")
_BEGIN = {
    "sqlite": select(func.coalesce(func.max(_R.pk), 0).label("last"), _WAITS, VERSION),
    "postgresql": select(
        clock().label("now"),
        _WAITS,
        VERSION,
        text("ARRAY(SELECT nextval('requests_pk_seq') FROM generate_series(1, :n)) AS pks"),
    ),
}
_PLACES = (
    select(intake_progress)
    .where(tuple_(_P.topic, _P.partition).in_(bindparam("places", expanding=True)))
    .order_by(_P.topic, _P.partition)
    .with_for_update()
)
_KNOWN = (
    select(
        _R.identity,
        _R.pk,
        _R.state,
        _R.generation,
        _R.fence,
        _R.payload_hash,
        _R.error_type,
        _R.alone,
        _R.superseded_by.is_not(None),
        _R.quiet,
        _R.follows,
    )
    .where(_R.identity.in_(bindparam("identities", expanding=True)))
    .order_by(_R.pk)
    .with_for_update()
)
_CANCELLED = select(cancels.c.identity).where(cancels.c.identity.in_(bindparam("identities", expanding=True)))

quick(*_BEGIN.values(), _PLACES, _KNOWN, _CANCELLED)


Places = dict[tuple[str, int], Any]
"""Topic and partition to its row of `intake_progress`."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The time, keys for as many new rows as there may be, whether any cancel waits for its request, and which budgets there are."""

    at: float
    pks: list[int]
    cancels: bool
    budgets: int


def begin(conn: Connection, count: int) -> Begun:
    """In one round trip. Keys come in the order of arrival: SQLite has one writer, PostgreSQL a sequence."""
    row = conn.execute(_BEGIN[conn.dialect.name], {"n": count} if conn.dialect.name != "sqlite" else {}).one()
    if conn.dialect.name == "sqlite":
        return Begun(now(conn), list(range(row.last + 1, row.last + 1 + count)), bool(row.cancels), row.budgets_version)
    return Begun(row.now, row.pks, row.cancels, row.budgets_version)


def is_redelivered(places: Places, arrival: Arrival) -> bool:
    """Below what was read before."""
    p = arrival.position
    return p is not None and p.offset < places[p.topic, p.partition]["next_offset"]


def places_of(conn: Connection, arrivals: Iterable[Arrival]) -> Places:
    """The partitions of this batch, locked in one order; a partition never seen before starts at its first record."""
    first: dict[tuple[str, int], int] = {}
    for a in arrivals:
        if a.position is not None:
            first.setdefault((a.position.topic, a.position.partition), a.position.offset)
    if not first:
        return {}
    locked = conn.execute(_PLACES, {"places": rows.padded(sorted(first))}).mappings()
    found = {(row["topic"], row["partition"]): dict(row) for row in locked}
    for place in sorted(first.keys() - found.keys()):
        found[place] = {
            "topic": place[0],
            "partition": place[1],
            "next_offset": first[place],
            "last_timestamp": -1,
            "committed_seen": first[place],
            "replay_until": 0,
        }
        conn.execute(insert(intake_progress), found[place])
    return found


def decided_before(conn: Connection, arrivals: Iterable[Arrival], places: Places) -> dict[Position, Any]:
    """What was decided of positions that an operator has moved back over."""
    asked = [
        a.position
        for a in arrivals
        if a.position is not None and a.position.offset < places[a.position.topic, a.position.partition]["replay_until"]
    ]
    if not asked:
        return {}
    p = positions.c
    wanted = rows.padded((x.topic, x.partition, x.offset, x.timestamp) for x in asked)
    found = conn.execute(select(positions).where(tuple_(p.topic, p.partition, p.offset, p.timestamp).in_(wanted)))
    return {Position(row.topic, row.partition, row.offset, row.timestamp): row for row in found}


def known(conn: Connection, identities: set[bytes]) -> dict[bytes, Known]:
    """Rows of these identities, locked."""
    if not identities:
        return {}
    found = conn.execute(_KNOWN, {"identities": rows.padded(identities)})
    return {row[0]: Known(*row[1:]) for row in found}


def waiting_cancels(conn: Connection, identities: set[bytes]) -> set[bytes]:
    """Those whose cancel came before them."""
    if not identities:
        return set()
    return set(conn.execute(_CANCELLED, {"identities": rows.padded(identities)}).scalars())


def answers_of(conn: Connection, pks: set[int]) -> dict[tuple[int, int], bytes]:
    """Recorded results, by row and generation."""
    if not pks:
        return {}
    r = results.c
    found = conn.execute(select(r.request_pk, r.generation, r.body).where(r.request_pk.in_(rows.padded(pks))))
    return {(row.request_pk, row.generation): row.body for row in found}
