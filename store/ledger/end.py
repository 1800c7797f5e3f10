"""Rows that end without their engine: cancelled, expired, poisoned."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, insert, select, tuple_, update

from schemas.errors import Failure
from schemas.money import to_usd
from schemas.result import Status, Totals
from store import rows
from store.ledger import answers, behind
from store.ledger.answers import metadata_of
from store.ledger.purse import Moves
from store.ledger.types.claims import Claimed
from store.ledger.types.records import Routes
from store.ledger.types.steps import End
from store.tables import DUE, bodies, executions, outbox, requests, results, run_cancels

_R = requests.c

CLAIMED_COLUMNS = (
    _R.pk,
    _R.tenant,
    _R.operation,
    _R.id,
    _R.generation,
    _R.fence,
    _R.lane,
    _R.provider,
    _R.model,
    _R.paid,
    _R.on_ambiguous,
    _R.deadline,
    _R.attempts,
    _R.ambiguous,
    _R.run_id,
    _R.key,
    _R.partition,
    _R.source_topic,
    _R.source_partition,
    _R.source_offset,
    _R.requested_at,
    _R.accepted_at,
    func.coalesce(_R.started_at, _R.accepted_at).label("leased_at"),
    _R.pinned,
    _R.due,
    _R.weight,
    _R.key_id,
    _R.budgets,
    _R.budget_nano,
    _R.quiet,
    _R.alone,
    _R.streamed,
    _R.response,
    _R.route,
)
CLAIMED = select(*CLAIMED_COLUMNS, bodies.c.value, bodies.c.headers).join_from(
    requests, bodies, bodies.c.request_pk == _R.pk
)

OF_CANCELLED_RUN = tuple_(_R.tenant, _R.run_id).in_(select(run_cancels.c.tenant, run_cancels.c.run_id))
_FLAGGED = select(_R.pk).where(_R.pk.in_(bindparam("pks", expanding=True)), OF_CANCELLED_RUN)
_LATE = (
    select(_R.pk)
    .where(DUE, _R.deadline <= bindparam("the_time"))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def claimed(row: Sequence[Any]) -> Claimed:
    """A row of `CLAIMED`, or of `CLAIMED_COLUMNS` with value and headers."""
    return Claimed(*row)


def end_rows(
    conn: Connection,
    routes: Routes,
    which: Select[Any],
    status: Status,
    failure: Failure | None,
    at: float,
    *,
    dead_letter: bool = False,
    notes: Mapping[int, str] | None = None,
) -> int:
    """End the rows that `which` (a select over `CLAIMED`) finds, with results and, if asked, dead letters.

    `notes`: by row, a warning that its result bears.
    """
    found = conn.execute(which.add_columns(*behind.WAITED_FOR).with_for_update(of=requests)).all()
    ending = [claimed(row[: -len(behind.WAITED_FOR)]) for row in found]
    if not ending:
        return 0
    waiting = behind.lock(conn, found)
    totals = totals_of(conn, [claim.pk for claim in ending])
    letters: list[answers.OutRow] = []
    kept: list[dict[str, Any]] = []
    ended: dict[int, behind.Ended] = {}
    moves = Moves()
    for claim in ending:
        moves.release(claim.budgets, claim.budget_nano)
        warnings = (notes[claim.pk],) if notes and claim.pk in notes else ()
        end = _end(claim, totals.get((claim.pk, claim.generation), Totals()), status, failure, warnings)
        body = answers.finished(claim, end, at).model_dump_json().encode()
        kept.append(
            {
                "request_pk": claim.pk,
                "generation": claim.generation,
                "status": status.value,
                "body": body,
                "completed_at": at,
            }
        )
        letters += answers.letters(routes, claim, body, failure if dead_letter else None, claim.attempts)
        ended[claim.pk] = behind.Ended(status, body, failure, dead_letter)
    _write(conn, ending, status, failure, at, kept, letters)
    moves.write(conn, at)
    behind.after(conn, routes, waiting, ended, at)
    return len(ending)


def _end(claim: Claimed, totals: Totals, status: Status, failure: Failure | None, warnings: tuple[str, ...]) -> End:
    return End(
        status=status,
        output=None,
        failure=failure,
        warnings=warnings,
        totals=totals,
        metadata=metadata_of(claim.value),
        latency_ms=0,
        dead_letter=False,
        attempts=claim.attempts,
    )


def _write(
    conn: Connection,
    ending: Sequence[Claimed],
    status: Status,
    failure: Failure | None,
    at: float,
    kept: list[dict[str, Any]],
    letters: list[answers.OutRow],
) -> None:
    change = {
        "state": status.value,
        "owner": None,
        "completed_at": at,
        "error_type": failure.type.value if failure else None,
        "budget_nano": None,
    }
    conn.execute(update(requests).where(_R.pk.in_(rows.padded(claim.pk for claim in ending))).values(change))
    rows.many(conn, insert(results), kept)
    rows.many(conn, insert(outbox), letters)


def totals_of(conn: Connection, pks: Sequence[int]) -> dict[tuple[int, int], Totals]:
    """What the calls of these requests used so far, by (request, generation)."""
    e = executions.c
    counted = e.outcome.is_not(None) & (
        (e.cost_nano != 0) | e.cost_nano.is_(None) | (e.outcome == "ok") | (e.input_tokens > 0)
    )
    found = conn.execute(
        select(
            e.request_pk,
            e.generation,
            func.sum(e.input_tokens),
            func.sum(e.output_tokens),
            func.sum(e.cached_tokens),
            func.max(case((e.estimated, 1), else_=0)),
            func.sum(e.cost_nano),
            func.sum(case((e.cost_nano.is_(None), 1), else_=0)),
            func.count(),
            func.sum(e.cache_write_tokens),
            func.sum(e.reasoning_tokens),
        )
        .where(e.request_pk.in_(rows.padded(pks)), counted)
        .group_by(e.request_pk, e.generation)
    )
    return {
        (row[0], row[1]): Totals(
            input_tokens=int(row[2]),
            output_tokens=int(row[3]),
            cached_tokens=int(row[4]),
            cache_write_tokens=int(row[9]),
            reasoning_tokens=int(row[10]),
            estimated=bool(row[5]),
            cost_usd=to_usd(None if row[6] is None else int(row[6])),
            unpriced_calls=int(row[7]),
            calls=int(row[8]),
        )
        for row in found
    }


def cancel_rows(conn: Connection, routes: Routes, identities: Iterable[bytes], at: float) -> None:
    """Known and not begun: ended at once. Calling: flagged, for its holder to abort. Ended: nothing."""
    wanted = _R.identity.in_(rows.padded(identities))
    conn.execute(update(requests).where(wanted, _R.state == "calling").values(cancel=True))
    end_rows(
        conn, routes, CLAIMED.where(wanted, _R.state.in_(["waiting", "leased", "held"])), Status.CANCELLED, None, at
    )


def cancel_runs(conn: Connection, routes: Routes, at: float, pks: Sequence[int]) -> set[int]:
    """Of rows that are about to be claimed and belong to a run, those whose run was cancelled: ended, and returned."""
    if not pks:
        return set()
    gone = set(conn.execute(_FLAGGED, {"pks": rows.padded(pks)}).scalars())
    if gone:
        end_rows(conn, routes, CLAIMED.where(_R.pk.in_(rows.padded(gone))), Status.CANCELLED, None, at)
    return gone


def expire_rows(conn: Connection, routes: Routes, at: float, limit: int = 500) -> int:
    """End waiting rows whose deadline has passed before they cost anything."""
    due = list(conn.execute(_LATE, {"the_time": at, "most": limit}).scalars())
    if not due:
        return 0
    return end_rows(
        conn, routes, CLAIMED.where(_R.pk.in_(rows.padded(due)), _R.state == "waiting"), Status.EXPIRED, None, at
    )
