"""Who is alive, and what happens to the work of who is not."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)

from schemas.errors import ErrorType, Failure
from schemas.result import Status
from store import killpoint, rows
from store.database import now
from store.ledger import behind, journal, supersede
from store.ledger.accept import CANCEL_KEPT_S
from store.ledger.end import CLAIMED, OF_CANCELLED_RUN, end_rows
from store.ledger.policy import on_death
from store.ledger.purse import Moves
from store.ledger.types.claims import Slot
from store.ledger.types.records import Routes
from store.ledger.types.steps import UNFINISHED, Call, Closing
from store.tables import FOLLOWS, cancels, executions, outbox, relays, requests, slots, workers

_R = requests.c
_F = requests.alias("f")
_W = workers.c


def register(conn: Connection, worker: str, host: str, pid: int) -> None:
    """Join: from here on the heartbeat must not stop for longer than a lease."""
    at = now(conn)
    conn.execute(insert(workers), {"id": worker, "host": host, "pid": pid, "started_at": at, "heartbeat_at": at})


def beat(conn: Connection, worker: str) -> bool:
    """False: we were declared dead, and everything we held is somebody else's."""
    found = conn.execute(update(workers).where(_W.id == worker).values(heartbeat_at=now(conn)))
    return bool(found.rowcount)


def leave(conn: Connection, routes: Routes, worker: str) -> None:
    """Go in good order: what is left is given back at once."""
    bury(conn, routes, [worker])


def beats(conn: Connection) -> tuple[dict[str, float], float]:
    """Everybody's last beat, and the time."""
    return {row.id: row.heartbeat_at for row in conn.execute(select(_W.id, _W.heartbeat_at))}, now(conn)


def bury_silent(conn: Connection, routes: Routes, silent: Mapping[str, float]) -> tuple[list[str], int]:
    """Take over from these workers, of whom this was the last beat: one that has beaten since is left alone, and one that
    is about to waits until it is buried. Two who bury at once share the dead between them.
    """
    asked = select(_W.id, _W.heartbeat_at).where(_W.id.in_(rows.padded(silent))).order_by(_W.id)
    locked = conn.execute(asked.with_for_update(skip_locked=True)).all()
    gone = [row.id for row in locked if row.heartbeat_at == silent[row.id]]
    return gone, bury(conn, routes, gone)


def everyone(conn: Connection) -> list[str]:
    """All who have joined and not left."""
    return list(conn.execute(select(_W.id)).scalars())


def give_back(conn: Connection, worker: str, pks: Collection[int], held: Collection[Slot]) -> int:
    """Rows and slots that the ledger says are ours and that we do not know of: a commit whose outcome we never learnt."""
    mine = conn.execute(select(_R.pk, _R.state).where(_R.owner == worker, _R.state == "leased")).all()
    lost = [row.pk for row in mine if row.pk not in pks]
    if lost:
        still = _R.pk.in_(rows.padded(lost)) & (_R.owner == worker) & (_R.state == "leased")
        conn.execute(update(requests).where(still).values(state="waiting", owner=None))
    s = slots.c
    ours = conn.execute(select(slots).where(s.owner == worker)).all()
    places = {(slot.provider, slot.model, slot.node, slot.number) for slot in held}  # `reserved` may have changed since
    stray = [row for row in ours if (row.provider, row.model, row.node, row.number) not in places]
    for row in stray:
        place = (s.provider == row.provider) & (s.model == row.model) & (s.node == row.node) & (s.number == row.number)
        conn.execute(update(slots).where(place, s.owner == worker).values(owner=None))
    return len(lost) + len(stray)


_BACK = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"))
    .values(
        state=bindparam("the_state"),
        owner=None,
        not_before=0,
        ambiguous=bindparam("the_ambiguous"),
        deaths_calling=bindparam("the_calling"),
        deaths_leased=bindparam("the_leased"),
    )
)


def bury(conn: Connection, routes: Routes, dead: Sequence[str]) -> int:
    """Take over from the dead: slots freed, rows back to waiting or ended, open calls booked. Returns ambiguous calls."""
    if not dead:
        return 0
    at = now(conn)
    conn.execute(select(_W.id).where(_W.id.in_(dead)).order_by(_W.id).with_for_update()).all()  # no claim meanwhile
    left = and_(_R.state.in_(UNFINISHED), _has_left(requests, dead), ~_is_followed(dead))
    wanted = select(requests, left.label("left")).where(_R.owner.in_(dead) | left).order_by(_R.pk)
    found = conn.execute(wanted.with_for_update(of=requests)).all()
    orphans = [row for row in found if row.owner in dead]
    elsewhere = [row.pk for row in found if row.owner not in dead and row.state == "calling"]
    if elsewhere:  # their holders are told
        conn.execute(update(requests).where(_R.pk.in_(rows.padded(elsewhere))).values(cancel=True))
    opened = _open_calls(conn, [row.pk for row in orphans])
    lost = [_lost(call, row) for row in orphans for call in opened.get(row.pk, ())]
    _settle(conn, orphans, opened, lost, at)
    behind.lock(conn, [row for row in found if row.pk not in elsewhere])  # some of them end
    rows.many(conn, insert(outbox), journal.close_calls(conn, routes, lost, at))
    waited = [row.pk for row in found if row.owner not in dead and row.state != "calling"]
    ends: dict[str, list[int]] = {"poison": [], "ambiguous_fail": [], "cancelled": waited}
    back: list[dict[str, Any]] = []
    for row in orphans:
        fate, change = _fate(row, bool(opened.get(row.pk)))
        if fate in ends:
            ends[fate].append(row.pk)
        else:
            back.append(change)
    rows.many(conn, _BACK, back)
    _cancel(conn, routes, ends["cancelled"], {row.pk: row.superseded_by for row in orphans if row.superseded_by}, at)
    kept = {change["the_pk"] for change in back if change["the_state"] == "held"}
    behind.let_fly(conn, routes, (row for row in orphans if row.pk in kept), at)
    _fail(conn, routes, ends, at)
    if orphans:
        killpoint.passing("taking_over")
    # slots behind the rows, as in every other transaction: whoever locks in two orders waits in a ring
    conn.execute(update(slots).where(slots.c.owner.in_(dead)).values(owner=None))
    conn.execute(delete(relays).where(relays.c.owner.in_(dead)))
    conn.execute(delete(workers).where(_W.id.in_(dead)))
    return sum(1 for row in orphans if row.paid and opened.get(row.pk))


def _has_left(whose: FromClause, dead: Sequence[str]) -> ColumnElement[bool]:
    """Its only caller waited at one of the dead, or at one that was buried before: that is to leave."""
    lives = exists().where(_W.id == whose.c.caller, _W.id.not_in(dead)).correlate(whose)
    return and_(whose.c.alone, whose.c.caller.is_not(None), ~lives)


def _is_followed(dead: Sequence[str]) -> ColumnElement[bool]:
    """By a row that somebody still waits for."""
    return exists().where(FOLLOWS, _F.c.follows == _R.pk, ~_has_left(_F, dead)).correlate(requests)


def _settle(
    conn: Connection,
    orphans: Sequence[Row[Any]],
    opened: Mapping[int, Sequence[Row[Any]]],
    lost: Sequence[journal.Owed],
    at: float,
) -> None:
    """What their calls may have cost comes out of what they hold."""
    moves, closings = Moves(), iter(lost)
    for row in orphans:
        ended = [(call.budgets, next(closings).closing) for call in opened.get(row.pk, ())]
        left = moves.settle(row, ended)
        if left != (row.budget_nano or 0):
            moves.hold(row.pk, row.budgets, left)
    moves.write(conn, at)


def _fate(row: Row[Any], open_intent: bool) -> tuple[str, dict[str, Any]]:
    calling = row.state == "calling"
    deaths_calling = row.deaths_calling + int(calling)
    deaths_leased = row.deaths_leased + int(not calling)
    fate = on_death(
        calling=calling,
        open_intent=open_intent,
        paid=row.paid,
        on_ambiguous=row.on_ambiguous,
        ambiguous=row.ambiguous,
        deaths_calling=deaths_calling,
        deaths_leased=deaths_leased,
    )
    if row.cancel or row.left or row.superseded_by is not None:
        return "cancelled", {}
    change = {
        "the_pk": row.pk,
        "the_state": "held" if fate == "hold" else "waiting",
        "the_ambiguous": row.ambiguous + int(fate == "ambiguous_retry"),
        "the_calling": deaths_calling,
        "the_leased": deaths_leased,
    }
    return fate, change


def _cancel(conn: Connection, routes: Routes, pks: list[int], newer: dict[int, str], at: float) -> None:
    """Before the others end: none of these is to lead those who followed them."""
    if pks:
        notes = {pk: supersede.note(id_) for pk, id_ in newer.items()}
        end_rows(conn, routes, CLAIMED.where(_R.pk.in_(rows.padded(pks))), Status.CANCELLED, None, at, notes=notes)


def _fail(conn: Connection, routes: Routes, ends: dict[str, list[int]], at: float) -> None:
    poison = Failure(
        type=ErrorType.POISON,
        message="workers died on this request again and again; look at it before you send it once more (genai-spine dlq show)",
    )
    ambiguous = Failure(
        type=ErrorType.AMBIGUOUS,
        message="a worker died while this paid call was under way, so it may have been paid and answered; it was not made again",
        retryable=True,
    )
    for fate, failure in (("poison", poison), ("ambiguous_fail", ambiguous)):
        if ends[fate]:
            end_rows(
                conn,
                routes,
                CLAIMED.where(_R.pk.in_(rows.padded(ends[fate]))),
                Status.FAILED,
                failure,
                at,
                dead_letter=True,
            )


def _open_calls(conn: Connection, pks: Sequence[int]) -> dict[int, list[Row[Any]]]:
    e = executions.c
    found: dict[int, list[Row[Any]]] = {}
    if pks:
        wanted = select(executions).where(e.request_pk.in_(rows.padded(pks)), e.outcome.is_(None)).order_by(e.id)
        for row in conn.execute(wanted.with_for_update()):
            found.setdefault(row.request_pk, []).append(row)
    return found


def _lost(call: Row[Any], row: Row[Any]) -> journal.Owed:
    """A call whose end nobody saw: paid ones are booked at their upper estimate, free ones at nothing."""
    closing = Closing(
        call=Call(
            id=call.id,
            number=call.number,
            kind=call.kind,
            node=call.node,
            input_hash=call.input_hash,
            estimate_tokens=call.estimate_tokens,
            estimate_output=call.estimate_output,
            estimate_nano=call.estimate_nano,
            price_source=call.price_source,
            price_version=call.price_version,
        ),
        outcome="wasted",
        event=row.paid,
        input_tokens=call.estimate_tokens if row.paid else 0,
        output_tokens=call.estimate_output if row.paid else 0,
        estimated=True,
        cost_nano=call.estimate_nano if row.paid else 0,
        error_type=ErrorType.AMBIGUOUS.value,
        error="its worker died before the answer was recorded",
    )
    return journal.Owed(row.id, row.operation, row.tenant, row.run_id, call.provider, call.model, closing)


def forget_cancels(conn: Connection) -> None:
    """Cancels of unknown ids are kept a day."""
    conn.execute(delete(cancels).where(cancels.c.at < now(conn) - CANCEL_KEPT_S))


def told_to_stop(conn: Connection, worker: str) -> list[int]:
    """Our rows that somebody has cancelled: calls by a flag of their own, and whatever belongs to a cancelled run."""
    called_off = (_R.state == "calling") & _R.cancel
    return list(conn.execute(select(_R.pk).where(_R.owner == worker, called_off | OF_CANCELLED_RUN)).scalars())
