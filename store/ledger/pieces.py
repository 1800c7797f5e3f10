"""Pieces of answers on their way to a caller in another process. Whoever reads them takes them away.

They may be lost at any time: the result has the whole answer, and whoever read along sends what is missing out of that.

Those of a response that was asked for in the background stay for a day: its stream is told out of them, the first time and
again, by whatever process, so that it is the same each time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, or_, select

from store import rows
from store.database import now
from store.tables import pieces

KEPT_S = 60.0
"""What nobody has read by then, nobody will."""
STAY_S = 86_400.0
"""So long those stay that somebody may come back to."""

_P = pieces.c
_MINE = _P.request_pk.in_(bindparam("pks", expanding=True))
_ANY = select(_P.request_pk).where(_MINE).limit(1)
_TAKE = delete(pieces).where(_MINE).returning(_P.request_pk, _P.fence, _P.number, _P.body)
_OLD = delete(pieces).where(_P.at < bindparam("before"), or_(_P.kept.is_(None), _P.at < bindparam("long_before")))
_SINCE = (
    select(_P.request_pk, _P.fence, _P.number, _P.body, _P.kept)
    .where(
        _P.request_pk == bindparam("pk"),
        _P.kept == bindparam("generation"),
        or_(_P.fence > bindparam("fence"), (_P.fence == bindparam("fence")) & (_P.number >= bindparam("number"))),
    )
    .order_by(_P.fence, _P.number)
)


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """What came of one answer since the number before; each lease begins at 0. `kept`: the generation, if it stays."""

    pk: int
    fence: int
    number: int
    body: bytes
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read what stays of one answer."""

    pk: int
    generation: int
    fence: int = 0
    number: int = 0


def put(conn: Connection, made: Sequence[Piece]) -> None:
    """Send them across."""
    at = now(conn)
    told = (
        {"request_pk": p.pk, "fence": p.fence, "number": p.number, "body": p.body, "at": at, "kept": p.kept}
        for p in sorted(made, key=lambda piece: (piece.pk, piece.fence, piece.number))
    )
    rows.many(conn, insert(pieces), told)


def are_any(conn: Connection, pks: Collection[int]) -> bool:
    """Whether something has come; a look that locks nothing, as mostly nothing has."""
    return conn.execute(_ANY, {"pks": rows.padded(pks)}).first() is not None


def take(conn: Connection, pks: Collection[int]) -> list[Piece]:
    """What has come of these, in order; it is gone then."""
    return sorted(Piece(*row) for row in conn.execute(_TAKE, {"pks": rows.padded(pks)}))


def since(conn: Connection, places: Sequence[Place]) -> list[Piece]:
    """What has come of these behind there, in order; it stays."""
    return [Piece(*row) for place in places for row in conn.execute(_SINCE, _told(place))]


def _told(place: Place) -> dict[str, int]:
    return {"pk": place.pk, "generation": place.generation, "fence": place.fence, "number": place.number}


def sweep(conn: Connection) -> None:
    """What readers that left have not read, and what nobody will come back to."""
    at = now(conn)
    conn.execute(_OLD, {"before": at - KEPT_S, "long_before": at - STAY_S})
