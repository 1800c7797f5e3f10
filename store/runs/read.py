"""Looks at runs and their items."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, select, tuple_

from store import rows
from store.runs.tables import BAD, IN_A_RUN, OPEN, UNFINISHED, run_parts, runs
from store.tables import bodies, executions, requests, results, run_cancels, workers

_U, _T, _R, _E, _C = runs.c, run_parts.c, requests.c, executions.c, run_cancels.c


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a run's items. `open`: not ended; the rest of `total` has succeeded."""

    open: int
    failed: int
    stopped: int


def one(conn: Connection, tenant: str, id_: str) -> Row[Any] | None:
    return conn.execute(select(runs).where(_U.tenant == tenant, _U.id == id_)).first()


def owned(conn: Connection, worker: str) -> Sequence[Row[Any]]:
    """Those that this worker feeds and counts."""
    return conn.execute(select(runs).where(OPEN, _U.owner == worker).order_by(_U.created_at)).all()


def orphaned(conn: Connection) -> bool:
    """Whether any is without an owner that lives."""
    return conn.execute(select(_U.id).where(OPEN, UNOWNED).limit(1)).first() is not None


def is_called_off(conn: Connection, tenant: str, id_: str) -> bool:
    """By whatever way: HTTP, a record on `genai.control`, the command line."""
    return conn.execute(select(_C.at).where(_C.tenant == tenant, _C.run_id == id_)).first() is not None


def next_part(conn: Connection, tenant: str, id_: str) -> Row[Any] | None:
    """The first items that are no requests yet."""
    asked = select(run_parts).where(_T.tenant == tenant, _T.run_id == id_).order_by(_T.first).limit(1)
    return conn.execute(asked).first()


def part_behind(conn: Connection, tenant: str, id_: str, first: int) -> Row[Any] | None:
    """The next items behind these that are no requests yet."""
    asked = select(run_parts).where(_T.tenant == tenant, _T.run_id == id_, _T.first > first)
    return conn.execute(asked.order_by(_T.first).limit(1)).first()


def known(conn: Connection, tenant: str, operation: str, ids: Sequence[str]) -> set[str]:
    """Which of these items are requests already: by their identities, so that it costs the same however large the run is."""
    identities = [rows.identity(tenant, operation, id_) for id_ in ids]
    return set(conn.execute(select(_R.id).where(_R.identity.in_(identities))).scalars())


def page(
    conn: Connection, tenant: str, status: str | None, name: str | None, after: tuple[float, str] | None, limit: int
) -> tuple[Sequence[Row[Any]], tuple[float, str] | None]:
    """Newest first, and where the next page begins."""
    where = [_U.tenant == tenant]
    if status is not None:
        where.append(_U.status == status)
    if name is not None:
        where.append(_U.name == name)
    if after is not None:
        where.append(tuple_(_U.created_at, _U.id) < tuple_(*after))
    asked = select(runs).where(*where).order_by(_U.created_at.desc(), _U.id.desc()).limit(limit + 1)
    found = conn.execute(asked).all()
    last = found[limit - 1] if len(found) > limit else None
    return found[:limit], None if last is None else (last.created_at, last.id)


def of_kind(conn: Connection, tenant: str, kind: str, after: str | None, limit: int) -> Sequence[Row[Any]]:
    """Newest first, behind the run `after`."""
    where: list[Any] = [_U.tenant == tenant, _U.kind == kind]
    if (last := None if after is None else one(conn, tenant, after)) is not None:
        where.append(tuple_(_U.created_at, _U.id) < tuple_(last.created_at, last.id))
    return conn.execute(select(runs).where(*where).order_by(_U.created_at.desc(), _U.id.desc()).limit(limit)).all()


def counts(conn: Connection, id_: str, tenant: str) -> Counts:
    """By indexes that hold only what has not ended, and what has not succeeded."""
    mine = of_run(id_, tenant)
    open_ = conn.execute(select(func.count()).select_from(requests).where(UNFINISHED, *mine)).scalar_one()
    found = conn.execute(select(_R.state, func.count()).where(BAD, *mine).group_by(_R.state)).all()
    bad = {state: count for state, count in found}  # noqa: C416 - rows are no pairs to mypy
    return Counts(open_, bad.get("failed", 0), bad.get("cancelled", 0) + bad.get("expired", 0))


def waiting_items(id_: str, tenant: str) -> Select[Any]:
    """Rows of items that nobody has begun."""
    return select(_R.pk).where(UNFINISHED, *of_run(id_, tenant), _R.state == "waiting").order_by(_R.pk)


def spent(conn: Connection, id_: str, tenant: str) -> tuple[int, int]:
    """What its calls cost in nano-dollars, and their tokens."""
    asked = (
        select(func.coalesce(func.sum(_E.cost_nano), 0), func.coalesce(func.sum(_E.input_tokens + _E.output_tokens), 0))
        .select_from(executions)
        .join(requests, _R.pk == _E.request_pk)
        .where(IN_A_RUN, *of_run(id_, tenant))
    )
    nano, tokens = conn.execute(asked).one()
    return int(nano), int(tokens)


def has_begun(conn: Connection, id_: str, tenant: str) -> bool:
    """Whether any item was called, or has ended."""
    asked = select(_R.pk).where(IN_A_RUN, *of_run(id_, tenant), _R.state != "waiting").limit(1)
    return conn.execute(asked).first() is not None


def items(
    conn: Connection, id_: str, tenant: str, after: int, limit: int, state: str | None = None
) -> Sequence[Row[Any]]:
    """In the order of the input, behind the row `after`: the request with its result, where it has one."""
    where: list[Any] = [IN_A_RUN, *of_run(id_, tenant), _R.pk > after]
    if state is not None:
        where.append(_R.state == state)
    asked = (
        select(requests, results.c.body)
        .outerjoin(results, (results.c.request_pk == _R.pk) & (results.c.generation == _R.generation))
        .where(*where)
        .order_by(_R.run_id, _R.pk)
        .limit(limit)
    )
    return conn.execute(asked).all()


def failed_bodies(conn: Connection, id_: str, tenant: str, after: int, limit: int, below: str = "") -> Sequence[Any]:
    """Items that have failed, as they were sent; `below`: those of a step, named with a slash."""
    asked = (
        select(_R.pk, _R.id, _R.operation, _R.lane, bodies.c.value)
        .join(bodies, bodies.c.request_pk == _R.pk)
        .where(IN_A_RUN, *of_run(id_, tenant, below), _R.pk > after, _R.state.in_(_AGAIN))
        .order_by(_R.run_id, _R.pk)
        .limit(limit)
    )
    return conn.execute(asked).all()


_AGAIN = ("failed", "cancelled", "expired")
UNOWNED = ~exists().where(workers.c.id == _U.owner)
"""Workers whose row stands live: those that died were swept away."""


def of_run(id_: str, tenant: str, below: str = "") -> list[Any]:
    """A run's own items: any request may name a run, and one that nobody submitted with it is none of them."""
    return [_R.run_id == id_, _R.tenant == tenant, _R.id.startswith(f"{id_}/{below}", autoescape=True)]


FIRST = -1
"""Before every row."""
