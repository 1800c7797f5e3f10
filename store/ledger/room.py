"""Room for years: what is old goes, in small batches. Identities, states and the day's costs stay.

What waits for something is never touched, however old it is. A mark says up to when rows of each kind have gone, so that
whoever misses one knows why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, exists, func, select, text, tuple_

from store import rows
from store.database import now
from store.passages import kept
from store.runs import old
from store.tables import (
    bodies,
    corrections,
    executions,
    intake_progress,
    metadata,
    positions,
    pruned,
    requests,
    results,
)

DAY_S = 86_400.0
_R = requests.c
_E = executions.c
_P = positions.c
_OPEN = ("waiting", "leased", "calling", "held")

_OLD_RESULTS = (
    select(results.c.request_pk, results.c.generation)
    .where(results.c.completed_at < bindparam("before"))
    .order_by(results.c.completed_at)
    .limit(bindparam("most"))
)
_DROP_RESULTS = delete(results).where(
    results.c.request_pk == bindparam("the_pk"), results.c.generation == bindparam("the_generation")
)
_ENDED = select(_R.pk).where(_R.pk.in_(bindparam("pks", expanding=True)), _R.state.not_in(_OPEN))
"""A later generation of a request may be under way, which needs its text."""
_HAS_RESULT = exists().where(results.c.request_pk == bodies.c.request_pk)
_DROP_BODIES = delete(bodies).where(bodies.c.request_pk.in_(_ENDED.with_for_update(skip_locked=True)), ~_HAS_RESULT)
# words and not bound values, as the index of closed calls has them
_CLOSED = text("closed_at IS NOT NULL")
_OLD_CALLS = (
    select(_E.id)
    .join(requests, _R.pk == _E.request_pk)
    .where(_CLOSED, _E.closed_at < bindparam("before"), _R.state.not_in(_OPEN))
    .order_by(_E.closed_at)
    .limit(bindparam("most"))
)
_DROP_CALLS = delete(executions).where(_E.id.in_(bindparam("ids", expanding=True)))
_DROP_CORRECTIONS = delete(corrections).where(
    corrections.c.at < bindparam("before"), ~exists().where(_E.id == corrections.c.call_id)
)
_FIRST_PLACES = (
    select(_P.offset, _P.timestamp)
    .where(_P.topic == bindparam("topic"), _P.partition == bindparam("partition"))
    .order_by(_P.topic, _P.partition, _P.offset, _P.timestamp)
    .limit(bindparam("most"))
)
_PARTITIONS = select(intake_progress.c.topic, intake_progress.c.partition).order_by(
    intake_progress.c.topic, intake_progress.c.partition
)
_MARK = rows.upserting(
    pruned,
    lambda statement: statement.on_conflict_do_update(
        index_elements=["kind"],
        set_={"before": statement.excluded.before},
        where=pruned.c.before < statement.excluded.before,
    ),
)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days; None: for ever."""

    bodies: float | None = None
    """Texts and answers of requests that have ended, counted from their end."""
    journal: float | None = None
    """Calls, one by one; whole UTC days, so that a day's sum is there or not."""
    positions: float | None = None
    """What was decided of each record, for offsets that are moved back."""

    def cutoffs(self, at: float) -> "dict[str, float]":
        """Kind to the moment before which it goes."""
        found: dict[str, float] = {}
        if self.bodies is not None:
            found["bodies"] = at - self.bodies * DAY_S
        if self.journal is not None:
            found["journal"] = (at - self.journal * DAY_S) // DAY_S * DAY_S
        if self.positions is not None:
            found["positions"] = at - self.positions * DAY_S
        return found


def drop_bodies(conn: Connection, before: float, most: int) -> int:
    """Results that ended before then, and the texts of requests that have none left. Returns results."""
    gone = conn.execute(_OLD_RESULTS, {"before": before, "most": most}).all()
    rows.many(conn, _DROP_RESULTS, ({"the_pk": pk, "the_generation": generation} for pk, generation in sorted(gone)))
    if gone:
        conn.execute(_DROP_BODIES, {"pks": rows.padded({row.request_pk for row in gone})})
    return len(gone)


def drop_journal(conn: Connection, before: float, most: int) -> int:
    """Closed calls of requests that have ended."""
    old = list(conn.execute(_OLD_CALLS, {"before": before, "most": most}).scalars())
    if old:
        conn.execute(_DROP_CALLS, {"ids": rows.padded(old)})
        conn.execute(_DROP_CORRECTIONS, {"before": before})
    return len(old)


def drop_positions(conn: Connection, before: float, most: int) -> int:
    """From the beginning of each partition up to the first record that is not old (its own time says so)."""
    for topic, partition in conn.execute(_PARTITIONS).all():
        place = {"topic": topic, "partition": partition}
        if _leading(conn.execute(_FIRST_PLACES, {**place, "most": 1}).all(), before):
            old = _leading(conn.execute(_FIRST_PLACES, {**place, "most": most}).all(), before)
            these = tuple_(_P.offset, _P.timestamp).in_(rows.padded((row.offset, row.timestamp) for row in old))
            conn.execute(delete(positions).where(_P.topic == topic, _P.partition == partition, these))
            return len(old)
    return 0


def _leading(found: Sequence[Any], before: float) -> list[Any]:
    """Those in front of the first that is kept."""
    old: list[Any] = []
    for row in found:
        if row.timestamp >= before * 1000:
            break
        old.append(row)
    return old


def drop_texts(conn: Connection, before: float, most: int) -> int:
    """Of requests, then of runs, then what was embedded of documents."""
    return drop_bodies(conn, before, most) or old.drop(conn, before, most) or kept.drop(conn, before, most)


DROPS: dict[str, Callable[[Connection, float, int], int]] = {
    "bodies": drop_texts,
    "journal": drop_journal,
    "positions": drop_positions,
}


def drop(conn: Connection, kind: str, before: float, most: int) -> int:
    """One batch of a kind; how many rows have gone: 0 when that was all."""
    gone = DROPS[kind](conn, before, most)
    if gone:
        conn.execute(_MARK(conn), {"kind": kind, "before": before})
    return gone


def marks(conn: Connection) -> dict[str, float]:
    """Kind to the moment before which some of it has gone."""
    return {row.kind: float(row.before) for row in conn.execute(select(pruned))}


def would_drop(conn: Connection, keep: Keep) -> dict[str, int]:
    """Kind to the rows that would go now."""
    cutoffs = keep.cutoffs(now(conn))
    counted: dict[str, Select[Any]] = {
        "bodies": select(func.count()).select_from(results).where(results.c.completed_at < bindparam("before")),
        "journal": select(func.count()).select_from(executions).where(_CLOSED, _E.closed_at < bindparam("before")),
        "positions": select(func.count()).select_from(positions).where(_P.timestamp < bindparam("before") * 1000),
    }
    return {kind: int(conn.execute(counted[kind], {"before": at}).scalar_one()) for kind, at in cutoffs.items()}


@dataclass(frozen=True, slots=True)
class Size:
    """One table: rows, and bytes with its indexes; None where the database cannot say."""

    table: str
    rows: int
    bytes: int | None


def sizes(conn: Connection) -> list[Size]:
    """Every table of the ledger."""
    taken = _sqlite_bytes(conn) if conn.dialect.name == "sqlite" else _postgres_bytes(conn)
    counted = {
        name: int(conn.execute(select(func.count()).select_from(table)).scalar_one())
        for name, table in metadata.tables.items()
    }
    return [Size(name, counted[name], taken.get(name)) for name in sorted(counted)]


_DBSTAT = text(
    "SELECT m.tbl_name AS name, sum(s.pgsize) AS taken FROM dbstat s JOIN sqlite_schema m ON m.name = s.name "
    "WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
)
_HAS_DBSTAT = text("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'")
_RELATIONS = text("SELECT relname AS name, pg_total_relation_size(oid) AS taken FROM pg_class WHERE relkind = 'r'")


def _sqlite_bytes(conn: Connection) -> dict[str, int]:
    """Nothing where this SQLite was built without what knows it."""
    if not conn.execute(_HAS_DBSTAT).scalar_one():
        return {}
    return {row.name: int(row.taken) for row in conn.execute(_DBSTAT)}


def _postgres_bytes(conn: Connection) -> dict[str, int]:
    return {row.name: int(row.taken) for row in conn.execute(_RELATIONS)}
