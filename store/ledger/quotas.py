"""What all processes together may ask of a pool in one minute: borrowed in blocks, from one row per pool and minute."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from store import rows
from store.database import now
from store.ledger.types.claims import Pool
from store.tables import quotas

_Q = quotas.c
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Most:
    """Of one minute; None: no bound."""

    calls: int | None
    tokens: int | None

    @property
    def bounds(self) -> bool:
        """Whether anything is bounded at all."""
        return self.calls is not None or self.tokens is not None


UNBOUND = Most(None, None)


@dataclass(frozen=True, slots=True)
class Lent:
    """What was lent, and for how many seconds it is good: the rest of the database's minute."""

    calls: int
    tokens: int
    left_s: float
    calls_left: int | None = None
    """What nobody has been lent yet; None: no bound."""
    tokens_left: int | None = None


def granted(most: int | None, taken: int, wish: int) -> int:
    """As much of the wish as is left."""
    return wish if most is None else max(0, min(wish, most - taken))


Wish = Callable[[int | None, int | None, float], tuple[int, int]]
"""Calls and tokens that are wished for, by what is left of either (None: no bound) and the seconds of the minute that have passed."""


def borrow(conn: Connection, pool: Pool, most: Most, calls: int, tokens: int) -> Lent:
    """Take a block out of this minute's row, which others wait for; the rows of earlier minutes go."""
    return lend(conn, pool, most, lambda _calls, _tokens, _passed_s: (calls, tokens))


def lend(conn: Connection, pool: Pool, most: Most, wish: Wish) -> Lent:
    """The same, for whoever wishes by what is left."""
    at = now(conn)
    minute = int(at // MINUTE_S)
    here = (_Q.provider == pool[0], _Q.model == pool[1])
    made = rows.upsert(conn, quotas).values(provider=pool[0], model=pool[1], minute=minute, calls=0, tokens=0)
    conn.execute(made.on_conflict_do_nothing())
    row = conn.execute(select(_Q.calls, _Q.tokens).where(*here, _Q.minute == minute).with_for_update()).one()
    lent = grant(most, (row.calls, row.tokens), at, wish)
    if lent.calls or lent.tokens:
        conn.execute(
            update(quotas)
            .where(*here, _Q.minute == minute)
            .values(calls=row.calls + lent.calls, tokens=row.tokens + lent.tokens)
        )
    if row.calls == 0 and row.tokens == 0:
        conn.execute(delete(quotas).where(*here, _Q.minute < minute))
    return lent


def grant(most: Most, taken: tuple[int, int], at: float, wish: Wish) -> Lent:
    """What is lent to a wish, when so many calls and tokens are taken of the minute of `at`."""
    wished = wish(left(most.calls, taken[0]), left(most.tokens, taken[1]), at % MINUTE_S)
    calls, tokens = granted(most.calls, taken[0], wished[0]), granted(most.tokens, taken[1], wished[1])
    return Lent(
        calls,
        tokens,
        MINUTE_S - at % MINUTE_S,
        calls_left=left(most.calls, taken[0] + calls),
        tokens_left=left(most.tokens, taken[1] + tokens),
    )


def left(most: int | None, taken: int) -> int | None:
    """What nobody has been lent; a bound may have been lowered meanwhile."""
    return None if most is None else max(0, most - taken)
