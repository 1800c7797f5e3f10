"""What all processes together may ask of a pool in one minute: borrowed in blocks, from one row per pool and minute."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from store import rows
from store.database import now
from store.ledger.types import Pool
from store.tables import quotas

_Q = quotas.c
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Most:
    """Of one minute; None: no bound."""

    calls: int | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Lent:
    """What was lent, and for how many seconds it is good: the rest of the database's minute."""

    calls: int
    tokens: int
    left_s: float


def granted(most: int | None, taken: int, wish: int) -> int:
    """As much of the wish as is left."""
    return wish if most is None else max(0, min(wish, most - taken))


def borrow(conn: Connection, pool: Pool, most: Most, calls: int, tokens: int) -> Lent:
    """Take a block out of this minute's row, which others wait for; the rows of earlier minutes go."""
    at = now(conn)
    minute = int(at // MINUTE_S)
    here = (_Q.provider == pool[0], _Q.model == pool[1])
    made = rows.upsert(conn, quotas).values(provider=pool[0], model=pool[1], minute=minute, calls=0, tokens=0)
    conn.execute(made.on_conflict_do_nothing())
    row = conn.execute(select(_Q.calls, _Q.tokens).where(*here, _Q.minute == minute).with_for_update()).one()
    lent = Lent(
        granted(most.calls, row.calls, calls),
        granted(most.tokens, row.tokens, tokens),
        MINUTE_S - at % MINUTE_S,
    )
    conn.execute(
        update(quotas)
        .where(*here, _Q.minute == minute)
        .values(calls=row.calls + lent.calls, tokens=row.tokens + lent.tokens)
    )
    if row.calls == 0 and row.tokens == 0:
        conn.execute(delete(quotas).where(*here, _Q.minute < minute))
    return lent
