"""What the cache may still give: the rows whose fingerprint stands. An answer is kept once, as the result that it is.

Sweeping takes fingerprints away, in small batches, and nothing else: results stay.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, update

from store import rows
from store.database import now
from store.tables import CACHED, requests

BATCH = 500
_R = requests.c
_OLDEST = (
    select(_R.pk, _R.answer_bytes)
    .where(CACHED)
    .order_by(_R.completed_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_LATE = _OLDEST.where(_R.completed_at < bindparam("the_time"))
_FORGET = update(requests).where(_R.pk.in_(bindparam("pks", expanding=True))).values(fingerprint=None)
_TOTAL = select(func.coalesce(func.sum(_R.answer_bytes), 0)).where(CACHED)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an answer serves equal requests, and how many bytes of answers may; 0: none."""

    ttl_s: float
    max_bytes: int


def sweep(conn: Connection, bounds: Bounds) -> bool:
    """One small batch: answers that are too old, else the oldest of those that are too many. Whether there may be more."""
    gone = [row.pk for row in conn.execute(_LATE, {"the_time": now(conn) - bounds.ttl_s})]
    if not gone:
        gone = _too_many(conn, int(conn.execute(_TOTAL).scalar_one()) - bounds.max_bytes)
    if gone:
        conn.execute(_FORGET, {"pks": rows.padded(gone)})
    return len(gone) == BATCH


def _too_many(conn: Connection, beyond: int) -> list[int]:
    """The oldest ones, as many as have so many bytes."""
    found: list[int] = []
    if beyond > 0:
        for row in conn.execute(_OLDEST):
            if beyond <= 0:
                break
            found.append(row.pk)
            beyond -= row.answer_bytes or 0
    return found
