"""What happens to leased rows: intents, answers, retries. Every change holds only while the fence is ours."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from schemas.result import Status
from store import killpoint, rows
from store.database import clock, now
from store.ledger import answers, batches, behind, journal, judge, patience, savings, supersede
from store.ledger.end import CLAIMED, end_rows
from store.ledger.funds import Funds
from store.ledger.purse import VERSION, Purse
from store.ledger.types.claims import Claimed, Pool, Slot
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, End, Hold, Move, Retry, Step, Stepped
from store.quick import quick
from store.tables import outbox, requests, results, slots

_R = requests.c
_OURS = update(requests).where(_R.pk == bindparam("the_pk"), _R.fence == bindparam("the_fence"))
_CALLING = _OURS.values(state="calling", attempts=bindparam("the_attempts"))
_END = _OURS.values(
    state=bindparam("the_state"),
    owner=None,
    completed_at=bindparam("the_time"),
    error_type=bindparam("the_error"),
    attempts=bindparam("the_attempts"),
    answer_bytes=bindparam("the_bytes"),
    budget_nano=None,
)
_BACK = _OURS.values(
    state="waiting",
    owner=None,
    not_before=bindparam("the_time"),
    attempts=bindparam("the_attempts"),
    ambiguous=_R.ambiguous + bindparam("the_ambiguous"),
)
_MOVE = _OURS.values(
    state="waiting",
    owner=None,
    provider=bindparam("the_provider"),
    model=bindparam("the_model"),
    paid=bindparam("the_paid"),
    route=bindparam("the_route"),
    move_at=bindparam("the_move"),
    not_before=0,
    attempts=bindparam("the_attempts"),
    ambiguous=_R.ambiguous + bindparam("the_ambiguous"),
    fingerprint=None,
)
_HOLD = _OURS.values(state="held", owner=None, attempts=bindparam("the_attempts"))
_FREE = (
    update(slots)
    .where(
        slots.c.provider == bindparam("p"),
        slots.c.model == bindparam("m"),
        slots.c.node == bindparam("n"),
        slots.c.number == bindparam("k"),
        slots.c.owner == bindparam("w"),
    )
    .values(owner=None)
)
_LOOK = (
    select(
        _R.pk,
        _R.state,
        _R.fence,
        _R.generation,
        _R.cancel,
        _R.superseded_by,
        _R.budgets,
        _R.budget_nano,
        _R.quiet,
        VERSION,
        clock().label("now"),
        *behind.WAITED_FOR,
    )
    .where(_R.pk.in_(bindparam("pks", expanding=True)))
    .order_by(_R.pk)
    .with_for_update()
)
_KEEP_RESULT = insert(results)
_PUBLISH = insert(outbox)


quick(_CALLING, _END, _BACK, _FREE, _LOOK, _KEEP_RESULT, _PUBLISH)


def take_steps(
    conn: Connection, routes: Routes, worker: str, steps: Sequence[Step], purse: Purse | None = None
) -> list[Stepped]:
    """Commit what happened. A step whose fence is stale books its calls as wasted, if nobody has booked them, and no more.

    `purse`: whoever gives one closes it.
    """
    own = purse or Purse(conn, None, steps=steps)
    taken = [stepped for part in _apart(steps) for stepped in _take_apart(conn, routes, worker, part, own)]
    if purse is None:
        own.close()
    return taken


def _apart(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Parts in which no row stands twice: a caller that was stopped while it waited leaves a step behind, and the next
    step of its row must see what that one did, or a call would be booked twice.
    """
    part: list[Step] = []
    seen: set[int] = set()
    for step in steps:
        if step.claim.pk in seen:
            yield part
            part, seen = [], set()
        part.append(step)
        seen.add(step.claim.pk)
    if part:
        yield part


def _take_apart(conn: Connection, routes: Routes, worker: str, steps: Sequence[Step], purse: Purse) -> list[Stepped]:
    found, at = _look(conn, {step.claim.pk for step in steps})
    opened = journal.still_open(conn, [closing.call.id for step in steps for closing in step.closings])
    verdicts = [judge.verdict(step, found.get(step.claim.pk)) for step in steps]
    held = [
        judge.noted(step, found[step.claim.pk])
        for step, verdict in zip(steps, verdicts, strict=True)
        if verdict == "held"
    ]
    waiting = behind.lock(conn, _ending(found, held))
    behind.lock(conn, (found[step.claim.pk] for step in held if judge.is_unwanted(found, step)))  # `_retry` ends them
    behind.lock_followers(conn, (found[step.claim.pk] for step in judge.parting(found, held)))
    owed = [
        judge.owed(step, closing if verdict != "stale" else judge.wasted(closing))
        for step, verdict in zip(steps, verdicts, strict=True)
        for closing in step.closings
        if closing.call.id in opened
    ]
    events = journal.close_calls(conn, routes, owed, at)
    savings.book(conn, held, at)
    funds = Funds(purse, found)
    for step, verdict in zip(steps, verdicts, strict=True):
        funds.take(step, verdict, [(opened[c.call.id], c) for c in step.closings if c.call.id in opened])
    _open(conn, funds.begun, at)
    batches.park(conn, funds.begun, at)
    funds.moves.write(conn, at)
    bodies, letters = _end(conn, routes, held, at)
    if bodies:
        killpoint.passing("recording")
    rows.many(conn, _PUBLISH, events + letters)
    outcome = behind.after(conn, routes, waiting, _ended(held, bodies), at)
    bodies |= _ended_before(conn, [step for step, verdict in zip(steps, verdicts, strict=True) if verdict == "done"])
    woken = _retry(conn, routes, found, held, at)
    free_slots(conn, worker, [step.free for step in steps if step.free is not None])
    return [
        Stepped(
            held=verdict in {"held", "done"},
            cancel=verdict == "held" and bool(found[step.claim.pk].cancel),
            refused=funds.refused.get(step.claim.pk),
            held_nano=funds.holds.get(step.claim.pk),
            body=bodies.get(step.claim.pk) if verdict != "stale" else None,
            shared=tuple(one for one in outcome.shared if one.lead == step.claim.pk and verdict == "held"),
            woken=_woken(step, outcome.woken, woken) if verdict == "held" else frozenset(),
        )
        for step, verdict in zip(steps, verdicts, strict=True)
    ]


def _woken(step: Step, ended: frozenset[Pool], parted: frozenset[Pool]) -> frozenset[Pool]:
    """Where rows may be claimed now that this step is done."""
    if isinstance(step.then, End):
        return ended
    return parted | {(step.then.provider, step.then.model)} if isinstance(step.then, Move) else frozenset()


def _ending(found: dict[int, Any], held: Sequence[Step]) -> Iterator[Any]:
    return (found[step.claim.pk] for step in held if isinstance(step.then, End))


def _ended(held: Sequence[Step], bodies: dict[int, bytes]) -> dict[int, behind.Ended]:
    return {
        step.claim.pk: behind.Ended(step.then.status, bodies[step.claim.pk], step.then.failure, step.then.dead_letter)
        for step in held
        if isinstance(step.then, End)
    }


def _look(conn: Connection, pks: set[int]) -> tuple[dict[int, Any], float]:
    """The rows, locked, and the time: asked for in the same round trip, since idle slots wait for this."""
    found = {row.pk: row for row in conn.execute(_LOOK, {"pks": rows.padded(pks)}).all()}
    return found, next((row.now for row in found.values()), None) or now(conn)


def _open(conn: Connection, opening: Sequence[Step], at: float) -> None:
    begin_calls(conn, [(step.claim, step.opens) for step in opening if step.opens is not None], at)


def begin_calls(conn: Connection, opening: Sequence[tuple[Claimed, Call]], at: float) -> None:
    """Intents of rows that are ours, and the rows `calling`."""
    journal.open_calls(conn, opening, at)
    told = ({"the_pk": c.pk, "the_fence": c.fence, "the_attempts": c.attempts} for c, _ in opening)
    rows.many(conn, _CALLING, told)


def _end(
    conn: Connection, routes: Routes, held: Sequence[Step], at: float
) -> tuple[dict[int, bytes], list[answers.OutRow]]:
    """The bodies of the answers, by row, and what is to be published."""
    ending = [(step, step.then) for step in held if isinstance(step.then, End)]
    if not ending:
        return {}, []
    made = {step.claim.pk: answers.finished(step.claim, end, at).model_dump_json().encode() for step, end in ending}
    rows.many(
        conn,
        _END,
        (
            {
                **_fence(step),
                "the_state": end.status.value,
                "the_time": at,
                "the_error": None if end.failure is None else end.failure.type.value,
                "the_attempts": end.attempts,
                "the_bytes": len(made[step.claim.pk]),
            }
            for step, end in ending
        ),
    )
    rows.many(
        conn,
        _KEEP_RESULT,
        (
            {
                "request_pk": step.claim.pk,
                "generation": step.claim.generation,
                "status": end.status.value,
                "body": made[step.claim.pk],
                "completed_at": at,
            }
            for step, end in ending
        ),
    )
    return made, [row for step, end in ending for row in _letters(routes, step, end, made[step.claim.pk])]


def _letters(routes: Routes, step: Step, end: End, body: bytes) -> list[answers.OutRow]:
    dead = end.failure if end.status is Status.FAILED and end.dead_letter else None
    return answers.letters(routes, step.claim, body, dead, end.attempts)


def _ended_before(conn: Connection, steps: Sequence[Step]) -> dict[int, bytes]:
    """The bodies that an earlier commit of these very steps made."""
    wanted = [(step.claim.pk, step.claim.generation) for step in steps if isinstance(step.then, End)]
    if not wanted:
        return {}
    r = results.c
    found = conn.execute(
        select(r.request_pk, r.body).where(tuple_(r.request_pk, r.generation).in_(rows.padded(wanted)))
    )
    return {row.request_pk: row.body for row in found}


def _retry(conn: Connection, routes: Routes, found: dict[int, Any], held: Sequence[Step], at: float) -> frozenset[Pool]:
    """Back to waiting, here or in another pool, or held; a row that somebody has cancelled meanwhile, or that has a newer one,
    ends instead. Pools in which rows may be claimed that waited for one of these.
    """
    rows.many(
        conn,
        _BACK,
        (
            {
                **_fence(step),
                "the_time": at + step.then.delay_s if step.then.delay_s > 0 else 0.0,
                "the_attempts": step.claim.attempts,
                "the_ambiguous": int(step.then.ambiguous),
            }
            for step in held
            if isinstance(step.then, Retry)
        ),
    )
    _move(conn, held, at)
    holding = [step for step in held if isinstance(step.then, Hold)]
    rows.many(conn, _HOLD, ({**_fence(step), "the_attempts": step.claim.attempts} for step in holding))
    woken = behind.let_fly(conn, routes, (found[step.claim.pk] for step in judge.parting(found, held)), at)
    back = [found[step.claim.pk] for step in held if isinstance(step.then, Retry | Move | Hold)]
    supersede.end(conn, routes, [row for row in back if row.superseded_by is not None and not row.cancel], at)
    unwanted = [row.pk for row in back if row.cancel]
    if unwanted:
        end_rows(conn, routes, CLAIMED.where(_R.pk.in_(rows.padded(unwanted))), Status.CANCELLED, None, at)
    return woken


def _move(conn: Connection, held: Sequence[Step], at: float) -> None:
    rows.many(
        conn,
        _MOVE,
        (
            {
                **_fence(step),
                "the_provider": step.then.provider,
                "the_model": step.then.model,
                "the_paid": step.then.paid,
                "the_route": step.then.route,
                "the_move": patience.until(at, step.then.wait_s, step.claim.deadline),
                "the_attempts": step.claim.attempts,
                "the_ambiguous": int(step.then.ambiguous),
            }
            for step in held
            if isinstance(step.then, Move)
        ),
    )


def _fence(step: Step) -> dict[str, int]:
    return {"the_pk": step.claim.pk, "the_fence": step.claim.fence}


def free_slots(conn: Connection, worker: str, freed: Sequence[Slot]) -> None:
    """Give slots back; one that was taken from us meanwhile is left alone."""
    rows.many(
        conn,
        _FREE,
        ({"p": s.provider, "m": s.model, "n": s.node, "k": s.number, "w": worker} for s in sorted(freed)),
    )
