"""Pieces of answers on their way to a caller in another process. Whoever reads them takes them away.

They may be lost at any time: the result has the whole answer, and whoever read along sends what is missing out of that.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from store import rows
from store.database import now
from store.tables import pieces

KEPT_S = 60.0
"""What nobody has read by then, nobody will."""

_P = pieces.c
_MINE = _P.request_pk.in_(bindparam("pks", expanding=True))
_ANY = select(_P.request_pk).where(_MINE).limit(1)
_TAKE = delete(pieces).where(_MINE).returning(_P.request_pk, _P.fence, _P.number, _P.body)
_OLD = delete(pieces).where(_P.at < bindparam("before"))


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """What came of one answer since the number before; each lease begins at 0."""

    pk: int
    fence: int
    number: int
    body: bytes


def put(conn: Connection, made: Sequence[Piece]) -> None:
    """Send them across."""
    at = now(conn)
    told = ({"request_pk": p.pk, "fence": p.fence, "number": p.number, "body": p.body, "at": at} for p in sorted(made))
    rows.many(conn, insert(pieces), told)


def are_any(conn: Connection, pks: Collection[int]) -> bool:
    """Whether something has come; a look that locks nothing, as mostly nothing has."""
    return conn.execute(_ANY, {"pks": rows.padded(pks)}).first() is not None


def take(conn: Connection, pks: Collection[int]) -> list[Piece]:
    """What has come of these, in order; it is gone then."""
    return sorted(Piece(*row) for row in conn.execute(_TAKE, {"pks": rows.padded(pks)}))


def sweep(conn: Connection) -> None:
    """What readers that left have not read."""
    conn.execute(_OLD, {"before": now(conn) - KEPT_S})
