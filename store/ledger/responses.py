"""Responses that can be asked for again: `/v1/responses/{id}` finds its request here, and lets go of it."""

from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, select, update

from store import rows
from store.ledger.types.steps import UNFINISHED
from store.tables import bodies, executions, pieces, requests, results

OPERATION = "complete"
DELETED = "deleted"

_R = requests.c
_FIND = (
    select(requests, bodies.c.value, results.c.body)
    .join_from(requests, bodies, bodies.c.request_pk == _R.pk, isouter=True)
    .join(results, and_(results.c.request_pk == _R.pk, results.c.generation == _R.generation), isouter=True)
    .where(_R.identity == bindparam("the_identity"), _R.response.is_not(None), _R.response != DELETED)
)
_LET_GO = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"), _R.state.not_in(sorted(UNFINISHED)))
    .values(response=DELETED, fingerprint=None)
)


def find(conn: Connection, tenant: str, id_: str) -> Row[Any] | None:
    """The request's row, with its text (`value`) and its result (`body`) as far as they are kept. None: nobody may ask for it."""
    identity = rows.identity(tenant, OPERATION, id_)
    return conn.execute(_FIND, {"the_identity": identity}).first()


def let_go(conn: Connection, pk: int) -> bool:
    """Its texts go, as if they had been pruned: who it was and what it cost stays. False: it has not ended."""
    if not conn.execute(_LET_GO, {"the_pk": pk}).rowcount:
        return False
    conn.execute(delete(bodies).where(bodies.c.request_pk == pk))
    conn.execute(delete(results).where(results.c.request_pk == pk))
    conn.execute(delete(pieces).where(pieces.c.request_pk == pk))
    conn.execute(update(executions).where(executions.c.request_pk == pk).values(answer=None))
    return True
