"""HTTP callers who leave before their answer: a row that nobody else waits for ends with them, unless they know where to ask again."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, exists, select, update

from schemas.result import Status
from store import rows
from store.database import now
from store.ledger.end import CLAIMED, end_rows
from store.ledger.types.records import Routes
from store.tables import FOLLOWS, requests

_R = requests.c
_F = requests.alias("f")
_ALONE = (
    select(_R.pk, _R.state)
    .where(
        _R.pk == bindparam("the_pk"),
        _R.generation == bindparam("the_generation"),
        _R.alone,
        _R.completed_at.is_(None),
        ~exists().where(FOLLOWS, _F.c.follows == bindparam("the_pk")),
    )
    .with_for_update()
)
_STAY = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"), _R.generation == bindparam("the_generation"), _R.alone)
    .values(alone=False)
)


def stay(conn: Connection, places: Collection[tuple[int, int]]) -> None:
    """Of these rows (pk, generation) it is told where their answer can be had: they are nobody's alone any more."""
    rows.many(conn, _STAY, ({"the_pk": pk, "the_generation": generation} for pk, generation in sorted(places)))


def leave(conn: Connection, routes: Routes, pk: int, generation: int) -> bool:
    """As a cancel, if the row was its caller's alone. Whether its holder has a call to abort."""
    row = conn.execute(_ALONE, {"the_pk": pk, "the_generation": generation}).first()
    if row is None:
        return False
    if row.state == "calling":
        conn.execute(update(requests).where(_R.pk == pk).values(cancel=True))
        return True
    end_rows(conn, routes, CLAIMED.where(_R.pk == pk), Status.CANCELLED, None, now(conn))
    return False
