"""Runs as others see them: over HTTP, at the command line, on `genai.runs`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from sqlalchemy import Connection, Row, insert

from schemas.money import to_usd
from schemas.runs import Counted, Delivery, Run, RunBudget, RunStep
from store.ledger.budgeting import State
from store.ledger.types.records import Routes
from store.tables import outbox
from streams import topics
from streams.runs.pace import left_s

BRIEF = {"result", "deliveries", "steps"}
"""What lists and records leave out."""


def shown(
    row: Row[Any],
    result: Any = None,
    told: Sequence[Row[Any]] = (),
    steps: Sequence[Row[Any]] = (),
    at: float = 0.0,
    state: State | None = None,
) -> Run:
    """A run as it stands. `at`: now, for steps that have not ended. `state`: its budget at this very moment; without it as the run
    was counted last.
    """
    progress = counted(row)
    said = orjson.loads(row.said)
    url = f"/v1/runs/{quote(row.id, safe='')}"
    tenant = urlencode({"tenant": row.tenant})
    return Run(
        run_id=row.id,
        kind=row.kind,
        name=row.name,
        status=row.status,
        tenant=row.tenant,
        progress=progress,
        cost_usd=to_usd(row.cost_nano) or "0.000000",
        budget=budgeted(row, state),
        note=note(row),
        tokens=row.tokens,
        eta_s=None if row.ended_at is not None else left_s(progress.total, progress.done, row.per_s),
        result=result,
        result_url=f"{url}/results?{tenant}",
        items_url=f"{url}/items?{tenant}",
        deliveries=[delivery(each) for each in told],
        steps=[step(each, at) for each in steps],
        metadata=said["metadata"],
        created_at=_moment(row.created_at),
        started_at=None if row.started_at is None else _moment(row.started_at),
        ended_at=None if row.ended_at is None else _moment(row.ended_at),
    )


def budgeted(row: Row[Any], state: State | None) -> RunBudget | None:
    """What it may cost, and what is left of that."""
    if row.budget_nano is None:
        return None
    spent, reserved = (row.cost_nano, 0) if state is None else (state.spent_nano, state.reserved_nano)
    left = max(0, row.budget_nano - spent - reserved)
    limit_usd, spent_usd, reserved_usd, left_usd = (
        to_usd(nano) or "" for nano in (row.budget_nano, spent, reserved, left)
    )
    return RunBudget(limit_usd=limit_usd, spent_usd=spent_usd, reserved_usd=reserved_usd, left_usd=left_usd)


def note(row: Row[Any]) -> str | None:
    """Why it ended as it did, where that can be mended."""
    if row.ended_at is not None and row.broken_off:
        return (
            f"Its upload broke off after {row.total} items: whoever sent it left or cancelled it, or the program that took it"
            " ended. The last ones never came; send it as another run."
        )
    if row.ended_at is None or not row.over_budget:
        return None
    which = (
        "its budget" if row.budget_nano is None else f"its budget of {to_usd(row.budget_nano)} dollars, or another one,"
    )
    mend = "retry it with a greater budget_usd" if row.budget_nano is not None else "raise that and retry it"
    return f"{row.over_budget} items failed since {which} had no room for them; {mend}, and only those run again."


def counted(row: Row[Any]) -> Counted:
    """How far it is."""
    done = row.succeeded + row.failed + row.stopped
    total = row.total if row.sealed else None
    return Counted(
        total=total,
        done=done,
        succeeded=row.succeeded,
        failed=row.failed,
        cancelled=row.stopped,
        share=round(done / total, 4) if total else None,
    )


def step(row: Row[Any], at: float) -> RunStep:
    """One step of a pipeline's run, as it stands at that moment."""
    until = at if row.ended_at is None else row.ended_at
    return RunStep(
        name=row.name,
        use=row.use,
        status=row.status,
        total=row.total,
        done=row.succeeded + row.failed + row.passed,
        succeeded=row.succeeded,
        failed=row.failed,
        passed=row.passed,
        cost_usd=to_usd(row.cost_nano) or "0.000000",
        tokens=row.tokens,
        took_s=None if row.started_at is None else round(max(0.0, until - row.started_at), 3),
        error=row.error,
        error_type=row.error_type,
        started_at=None if row.started_at is None else _moment(row.started_at),
        ended_at=None if row.ended_at is None else _moment(row.ended_at),
    )


def delivery(row: Row[Any]) -> Delivery:
    """One message about the end of a run; the secret stays here."""
    return Delivery(
        id=row.id,
        url=row.url,
        tries=row.tries,
        delivered_at=None if row.delivered_at is None else _moment(row.delivered_at),
        next_try_at=None if row.due_at is None else _moment(row.due_at),
        said=row.said,
    )


def progress(conn: Connection, routes: Routes, row: Row[Any] | None) -> None:
    """To `genai.runs`, in the transaction that changes it."""
    if row is None:
        return
    key = row.id.encode()
    value = shown(row).model_dump_json(exclude=BRIEF).encode()
    record = {
        "topic": topics.RUNS,
        "partition": routes.partition(topics.RUNS, key),
        "number": None,
        "key": key,
        "value": value,
        "headers": b"[]",
    }
    conn.execute(insert(outbox), record)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
