"""Calls that wait for a provider's batch or lie in one: what has come back for them, and those that nobody wants any more.

A row whose call goes into a batch stays `calling`; its owner is `OWNER` and no worker, so that nobody's death takes it away,
and no claim finds it. Its call's intent stands in the journal under the id that the provider gives back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, or_, select

from schemas.result import Status
from store import rows
from store.database import now
from store.ledger import journal
from store.ledger.end import CLAIMED, OF_CANCELLED_RUN, claimed, end_rows
from store.ledger.types.claims import Claimed
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, Closing
from store.tables import batch_items, executions, requests

OWNER = "batches"
"""Of rows whose calls lie in one."""
_AT_ONCE = 500

_R = requests.c
_I = batch_items.c
_E = executions.c
STILL_ITS = (_R.state == "calling") & (_R.owner == OWNER) & (_R.fence == _I.fence)
STILL_THERE = "its call lies in a provider's batch and may still be paid; then it is booked as wasted"


@dataclass(frozen=True, slots=True)
class Landing:
    """A call of a batch that nobody has closed yet, and its row. `live`: the row still waits for it."""

    call: Call
    claim: Claimed
    live: bool
    kind: Literal["chat", "embed"]
    opened_at: float


def landing(conn: Connection, ids: Sequence[str]) -> dict[str, Landing]:
    """Of these calls those that nobody has closed, with their rows as of the lease that made them."""
    if not ids:
        return {}
    calls = conn.execute(
        select(executions, _I.fence.label("item_fence"), _I.kind.label("item_kind"))
        .join_from(executions, batch_items, _I.call_id == _E.id)
        .where(_E.id.in_(rows.padded(ids)), _E.outcome.is_(None))
    ).all()
    at = now(conn)
    wanted = CLAIMED.add_columns(_R.state, _R.owner).where(_R.pk.in_(rows.padded({row.request_pk for row in calls})))
    found = {row.pk: row for row in conn.execute(wanted)} if calls else {}
    return {call.id: _landing(call, found[call.request_pk], at) for call in calls if call.request_pk in found}


def _landing(call: Any, row: Any, at: float) -> Landing:
    live = (row.state, row.owner, row.fence, row.generation) == (
        "calling",
        OWNER,
        call.item_fence,
        call.generation,
    )
    claim = claimed(row[:-2])
    claim.fence, claim.generation, claim.at = call.item_fence, call.generation, at
    claim.provider, claim.model = call.provider, call.model
    made = Call(
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
        prompt=call.prompt,
        prompt_version=call.prompt_version,
        budgets=call.budgets,
    )
    return Landing(made, claim, live, call.item_kind, call.opened_at)


# ---- cancelled


def call_off(conn: Connection, routes: Routes) -> int:
    """End the rows that somebody has cancelled while their calls wait for a batch or lie in one; and how many they were.

    What was not handed over costs nothing; a call that was is closed when its batch ends.
    """
    joined = select(_R.pk).join_from(batch_items, requests, _R.pk == _I.request_pk)
    wanted = joined.where(STILL_ITS, or_(_R.cancel, OF_CANCELLED_RUN)).limit(_AT_ONCE)
    pks = conn.execute(wanted.order_by(_R.pk).with_for_update(of=requests, skip_locked=True)).scalars().all()
    if not pks:
        return 0
    at = now(conn)
    mine = conn.execute(select(_I.call_id, _I.request_pk, _I.batch_id).where(_I.request_pk.in_(rows.padded(pks)))).all()
    away = {row.request_pk: STILL_THERE for row in mine if row.batch_id is not None}
    unsend(conn, routes, [row.call_id for row in mine if row.batch_id is None], at)
    which = CLAIMED.where(_R.pk.in_(rows.padded(pks)), _R.state == "calling", _R.owner == OWNER)
    end_rows(conn, routes, which, Status.CANCELLED, None, at, notes=away)
    return len(pks)


def unsend(conn: Connection, routes: Routes, ids: Sequence[str], at: float) -> None:
    """Calls that were surely never sent: closed, at no cost."""
    if not ids:
        return
    owed = [
        journal.Owed(
            each.claim.id, each.claim.operation, each.claim.tenant, each.claim.run_id, *_of(each), _never(each)
        )
        for each in landing(conn, list(ids)).values()
    ]
    journal.close_calls(conn, routes, owed, at)
    conn.execute(delete(batch_items).where(_I.call_id.in_(rows.padded(ids))))


def _of(each: Landing) -> tuple[str, str]:
    return each.claim.provider, each.claim.model


def _never(each: Landing) -> Closing:
    return Closing(each.call, "error", event=False, error="nobody wanted it any more before it was handed over")


def standing(conn: Connection) -> list[tuple[str, bool, int]]:
    """How many calls of each provider wait for a batch, or (True) lie in one."""
    of = (_I.provider, _I.batch_id.is_not(None))
    return [
        (str(row[0]), bool(row[1]), int(row[2]))
        for row in conn.execute(select(*of, func.count()).group_by(*of).order_by(*of))
    ]
