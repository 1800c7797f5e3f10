"""Batches of embeddings: which there are, new ones, and those that nobody has asked for in a long time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    Connection,
    Float,
    LargeBinary,
    any_,
    bindparam,
    cast,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)

from store import rows
from store.database import now
from store.passages.tables import HalfVector, embedded_batches, passage_vectors

_B, _V = embedded_batches.c, passage_vectors.c
_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Batch:
    """`vectors`: their numbers one by one for pgvector, or as bytes."""

    key: bytes
    tenant: str
    model: str
    size: int
    dimensions: int
    vectors: Sequence[Sequence[float]] | bytes


def key(tenant: str, model: str, dimensions: int, texts: Sequence[str]) -> bytes:
    """Of a batch, by what it is of: the same texts, whole and in the same order."""
    parts = (tenant, model, str(dimensions), *texts)
    return rows.digest(*(part.encode(errors="replace") for part in parts))


def has_vectors(conn: Connection) -> bool:
    """Whether this database looks for the nearest by itself."""
    return conn.dialect.name != "sqlite" and inspect(conn).has_table(passage_vectors.name)


def known(conn: Connection, keys: Sequence[bytes]) -> set[bytes]:
    """Those of these that are kept."""
    asked = select(_B.key).where(_B.key.in_(rows.padded(keys)))
    return {bytes(found) for found in conn.execute(asked).scalars()} if keys else set()


_NEW = rows.upserting(embedded_batches, lambda statement: statement.on_conflict_do_nothing())
_NEW_VECTORS = insert(passage_vectors).values(
    batch=bindparam("batch"),
    number=bindparam("number"),
    vector=cast(cast(bindparam("vector", type_=ARRAY(REAL)), ARRAY(REAL)), HalfVector),
)


def put(conn: Connection, batches: Iterable[Batch]) -> None:
    """What another run has put in the meantime stays. In the order of their keys, so that no two writers wait in a ring."""
    at = now(conn)
    for batch in sorted(batches, key=lambda each: each.key):
        in_row = batch.vectors if isinstance(batch.vectors, bytes) else None
        values = {"key": batch.key, "tenant": batch.tenant, "model": batch.model, "size": batch.size}
        values |= {"dimensions": batch.dimensions, "used_at": at, "vectors": in_row}
        made = conn.execute(_NEW(conn), values).rowcount
        if made and not isinstance(batch.vectors, bytes):
            of_batch = [
                {"batch": batch.key, "number": number, "vector": list(vector)}
                for number, vector in enumerate(batch.vectors)
            ]
            conn.execute(_NEW_VECTORS, of_batch)


def stale(conn: Connection, keys: Sequence[bytes]) -> bool:
    """Whether any of these was last used more than a day ago, as far as is written down."""
    asked = select(_B.key).where(_B.key.in_(rows.padded(keys)), _B.used_at < now(conn) - _A_DAY).limit(1)
    return bool(keys) and conn.execute(asked).first() is not None


def touch(conn: Connection, keys: Sequence[bytes]) -> None:
    """They are used now."""
    at = now(conn)
    old = sorted(conn.execute(select(_B.key).where(_B.key.in_(rows.padded(keys)), _B.used_at < at - _A_DAY)).scalars())
    for each in old:
        conn.execute(update(embedded_batches).where(_B.key == each).values(used_at=at))


def blocks(conn: Connection, keys: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
    """Key, size and bytes of those that are kept as bytes."""
    asked = select(_B.key, _B.size, _B.vectors).where(_B.key.in_(rows.padded(keys)), _B.vectors.is_not(None))
    return [(bytes(row.key), row.size, row.vectors) for row in conn.execute(asked)]


# a plan for any values would not see that there are many keys, and takes a hundred times as long
_OWN_PLAN = text("SET LOCAL plan_cache_mode = force_custom_plan")
_DISTANCE = _V.vector.op("<=>", return_type=Float())(
    cast(cast(bindparam("query", type_=ARRAY(REAL)), ARRAY(REAL)), HalfVector)
)
_NEAREST = (
    select(_V.batch, _V.number, _DISTANCE.label("distance"))
    .where(_V.batch == any_(bindparam("keys", type_=ARRAY(LargeBinary))))
    .order_by(text("distance"), _V.batch, _V.number)
    .limit(bindparam("most"))
)


def nearest(
    conn: Connection, keys: Sequence[bytes], query: Sequence[float], most: int
) -> list[tuple[bytes, int, float]]:
    """Batch, number in it, and cosine of the nearest among these batches, by pgvector: all of them are looked at."""
    conn.execute(_OWN_PLAN)
    values: dict[str, Any] = {"keys": list(keys), "query": list(query), "most": most}
    found = conn.execute(_NEAREST, values)
    return [(bytes(row.batch), row.number, _cosine(row.distance)) for row in found]


def _cosine(distance: float) -> float:
    """Of a vector of zeros there is no distance."""
    return 0.0 if math.isnan(distance) else 1.0 - distance


def drop(conn: Connection, before: float, most: int) -> int:
    """Those that nobody has used since; how many."""
    old = sorted(conn.execute(select(_B.key).where(_B.used_at < before).limit(most)).scalars())
    if old:
        if has_vectors(conn):
            conn.execute(delete(passage_vectors).where(_V.batch.in_(rows.padded(old))))
        conn.execute(delete(embedded_batches).where(_B.key.in_(rows.padded(old))))
    return len(old)
