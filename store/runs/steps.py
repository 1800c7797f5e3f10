"""Steps of pipelines: what stands of each, and what they gave. Changes are fenced by the run's owner, in their own transaction."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, tuple_, update

from store import rows
from store.rows import upsert
from store.runs.read import Counts
from store.runs.step_tables import run_outputs, run_plans, run_steps
from store.runs.tables import BAD, IN_A_RUN, OPEN, UNFINISHED, runs
from store.tables import executions, requests, results

_R, _S, _O, _P, _Q, _E = runs.c, run_steps.c, run_outputs.c, run_plans.c, requests.c, executions.c
RESULT = ""
"""The step under which the run's own result stands."""


def make(conn: Connection, tenant: str, id_: str, plan: Any, steps: Sequence[tuple[str, str]]) -> None:
    """In the transaction that makes the run. `steps`: names, and what each uses."""
    conn.execute(insert(run_plans).values(tenant=tenant, run_id=id_, body=_packed(plan)))
    told = [
        {"tenant": tenant, "run_id": id_, "name": name, "number": number, "use": use, "status": "waiting"}
        for number, (name, use) in enumerate(steps)
    ]
    conn.execute(insert(run_steps), told)
    conn.execute(update(runs).where(_R.tenant == tenant, _R.id == id_).values(total=len(steps), fed=len(steps)))


def plan(conn: Connection, tenant: str, id_: str) -> Any:
    """What `make` was told; None: it is no longer kept."""
    found = conn.execute(select(_P.body).where(_P.tenant == tenant, _P.run_id == id_)).scalar()
    return None if found is None else _unpacked(found)


def of_run(conn: Connection, tenant: str, id_: str) -> Sequence[Row[Any]]:
    """In the order of the definition."""
    return conn.execute(select(run_steps).where(*_of(_S, tenant, id_)).order_by(_S.number)).all()


def is_owned(conn: Connection, tenant: str, id_: str, owner: str) -> bool:
    """Whether the run is still this worker's; if so, nobody adopts it before this transaction has ended."""
    mine = update(runs).where(_R.tenant == tenant, _R.id == id_, _R.owner == owner, OPEN).values(owner=owner)
    return conn.execute(mine).rowcount > 0


def change(conn: Connection, tenant: str, id_: str, name: str, values: Mapping[str, Any]) -> None:
    """Of one step."""
    conn.execute(update(run_steps).where(*_of(_S, tenant, id_), _S.name == name).values(**values))


def put(conn: Connection, tenant: str, id_: str, step: str, first: int, outputs: Sequence[Any]) -> None:
    """What items of a step gave, one after another; the same again changes nothing."""
    told = [
        {"tenant": tenant, "run_id": id_, "step": step, "number": number, "body": _packed(each)}
        for number, each in enumerate(outputs, first)
    ]
    if told:
        conn.execute(upsert(conn, run_outputs).on_conflict_do_nothing(), told)


def outputs(conn: Connection, tenant: str, id_: str, step: str, first: int, size: int) -> dict[int, Any]:
    """By number; those that are not there gave nothing."""
    asked = select(_O.number, _O.body).where(
        *_of(_O, tenant, id_), _O.step == step, _O.number >= first, _O.number < first + size
    )
    return {number: _unpacked(body) for number, body in conn.execute(asked)}


def answers(conn: Connection, tenant: str, operation: str, ids: Sequence[str]) -> dict[str, tuple[str, bytes | None]]:
    """State and result of these requests, by id."""
    identities = [rows.identity(tenant, operation, id_) for id_ in ids]
    asked = (
        select(_Q.id, _Q.state, results.c.body)
        .outerjoin(results, and_(results.c.request_pk == _Q.pk, results.c.generation == _Q.generation))
        .where(_Q.identity.in_(identities))
    )
    return {row.id: (row.state, row.body) for row in conn.execute(asked)}


def counts(conn: Connection, tenant: str, id_: str, step: str) -> Counts:
    """Of a step's requests."""
    mine = _mine(tenant, id_, step)
    open_ = conn.execute(select(func.count()).select_from(requests).where(UNFINISHED, *mine)).scalar_one()
    found = conn.execute(select(_Q.state, func.count()).where(BAD, *mine).group_by(_Q.state)).all()
    bad = {state: count for state, count in found}  # noqa: C416 - rows are no pairs to mypy
    return Counts(open_, bad.get("failed", 0), bad.get("cancelled", 0) + bad.get("expired", 0))


def spent(conn: Connection, tenant: str, id_: str, step: str) -> tuple[int, int]:
    """What a step's calls cost in nano-dollars, and their tokens."""
    asked = (
        select(func.coalesce(func.sum(_E.cost_nano), 0), func.coalesce(func.sum(_E.input_tokens + _E.output_tokens), 0))
        .select_from(executions)
        .join(requests, _Q.pk == _E.request_pk)
        .where(IN_A_RUN, *_mine(tenant, id_, step))
    )
    nano, tokens = conn.execute(asked).one()
    return int(nano), int(tokens)


def first_bad(conn: Connection, tenant: str, id_: str, step: str) -> Any:
    """The first request of a step that did not succeed, with its result."""
    asked = (
        select(_Q.id, _Q.state, results.c.body)
        .outerjoin(results, and_(results.c.request_pk == _Q.pk, results.c.generation == _Q.generation))
        .where(BAD, *_mine(tenant, id_, step))
        .order_by(_Q.pk)
        .limit(1)
    )
    return conn.execute(asked).first()


def failed(conn: Connection, tenant: str, id_: str) -> list[str]:
    """Names of the steps that a retry runs again: those that failed or were not finished."""
    return list(conn.execute(select(_S.name).where(*_again(tenant, id_)).order_by(_S.number)).scalars())


def again(conn: Connection, tenant: str, id_: str) -> None:
    """They may go on: whoever had begun goes on where it was. The run's result is none any more."""
    these = _again(tenant, id_)
    had_begun = or_(_S.fed > 0, _S.total.is_not(None))
    values = {"error": None, "error_type": None, "ended_at": None, "failed": 0}
    conn.execute(update(run_steps).where(*these, had_begun).values(status="running", **values))
    conn.execute(update(run_steps).where(*these).values(status="waiting", started_at=None, **values))
    conn.execute(delete(run_outputs).where(*_of(_O, tenant, id_), _O.step == RESULT))
    ended = select(func.count()).where(*_of(_S, tenant, id_), _S.ended_at.is_not(None)).scalar_subquery()
    run = update(runs).where(_R.tenant == tenant, _R.id == id_)
    conn.execute(run.values(succeeded=ended, failed=0, stopped=0))


def drop(conn: Connection, before: float, most: int) -> int:
    """Definitions, inputs and outputs of runs that ended before; the steps' figures stay. How many rows have gone."""
    for table, keys in ((run_outputs, (_O.tenant, _O.run_id, _O.step, _O.number)), (run_plans, (_P.tenant, _P.run_id))):
        of_run_ = and_(_R.tenant == table.c.tenant, _R.id == table.c.run_id, _R.ended_at < before)
        old = [tuple(row) for row in conn.execute(select(*keys).join(runs, of_run_).limit(most))]
        if old:
            conn.execute(delete(table).where(tuple_(*keys).in_(rows.padded(old))))
            return len(old)
    return 0


def _again(tenant: str, id_: str) -> list[Any]:
    return [*_of(_S, tenant, id_), _S.status.in_(("failed", "cancelled"))]


def _of(columns: Any, tenant: str, id_: str) -> list[Any]:
    return [columns.tenant == tenant, columns.run_id == id_]


def _mine(tenant: str, id_: str, step: str) -> list[Any]:
    return [_Q.run_id == id_, _Q.tenant == tenant, _Q.id.startswith(f"{id_}/{step}/", autoescape=True)]


def _packed(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value), 1)


def _unpacked(body: bytes) -> Any:
    return orjson.loads(zlib.decompress(body))
