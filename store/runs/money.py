"""What a run may spend: a budget of its own, made with the run and gone when the run has ended, beside those of operators."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select, update

from schemas.errors import ErrorType
from store.ledger import budgets
from store.ledger.budgeting import Scope, State
from store.ledger.budgets import Wanted
from store.runs.read import of_run
from store.runs.tables import BAD, runs
from store.tables import bodies, requests, results
from store.tables import budgets as table

_WHO = "runs"
_U, _R, _B = runs.c, requests.c, table.c


def bound(conn: Connection, tenant: str, id_: str, nano: int) -> None:
    """Of what its items cost, those of before too, no more than this. In the transaction that makes the run, or before its items are
    asked again. Raises `Met` where somebody else sets a budget at the same moment: try again.
    """
    conn.execute(update(runs).where(_U.tenant == tenant, _U.id == id_).values(budget_nano=nano))
    budgets.put(conn, Wanted(Scope(tenant=tenant, run_id=id_), "run", nano), _WHO)


def unbound(conn: Connection, tenant: str, id_: str) -> None:
    """In the transaction that ends the run: its budget concerns nobody any more."""
    if (standing_ := _id(conn, tenant, id_)) is not None:
        budgets.remove(conn, standing_, _WHO)


def standing(conn: Connection, tenant: str, id_: str) -> State | None:
    """Its budget at this moment; None: it has none, or has ended."""
    found = _id(conn, tenant, id_)
    return None if found is None else budgets.standing(conn, found)[0]


def _id(conn: Connection, tenant: str, id_: str) -> int | None:
    same = (_B.tenant == tenant, _B.key_id == "", _B.model == "", _B.run_id == id_, _B.period == "run")
    return conn.execute(select(_B.id).where(*same, _B.removed_at.is_(None))).scalar()


def over(conn: Connection, tenant: str, id_: str) -> int:
    """How many of its items no budget had room for."""
    poor = _R.error_type == ErrorType.BUDGET_EXCEEDED.value
    asked = select(func.count()).select_from(requests).where(BAD, *of_run(id_, tenant), _R.state == "failed", poor)
    return int(conn.execute(asked).scalar_one())


def refused(conn: Connection, tenant: str, id_: str, after: int, limit: int) -> tuple[Sequence[Row[Any]], int | None]:
    """Items that the run's own budget had no room for when they came, as they were sent; and behind which row the next page begins.
    One that was refused later had begun, and would end there again.
    """
    budget, poor = _id(conn, tenant, id_), (_R.error_type == ErrorType.BUDGET_EXCEEDED.value) & (_R.attempts == 0)
    asked = (
        select(_R.pk, _R.id, _R.operation, _R.lane, bodies.c.value, results.c.body)
        .join(bodies, bodies.c.request_pk == _R.pk)
        .join(results, (results.c.request_pk == _R.pk) & (results.c.generation == _R.generation))
        .where(BAD, *of_run(id_, tenant), _R.state == "failed", poor, _R.pk > after)
        .order_by(_R.pk)
        .limit(limit)
    )
    found = conn.execute(asked).all()
    listed: Sequence[Any] = found
    own = [row for row in listed if is_own(row.body, budget)]
    return own, int(found[-1].pk) if len(found) == limit else None


def is_own(result: bytes, budget: int | None) -> bool:
    """Whether this budget is the one that had no room; None: there is none."""
    if budget is None:
        return False
    told = orjson.loads(result).get("error") or {}
    return bool((told.get("details") or {}).get("budget") == budget)
