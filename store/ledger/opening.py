"""First calls whose intents stand with the very commit that accepts and leases their requests: one durable commit less
between a request and its model.

Whose turn it is the claim says as ever; this only looks at what it got.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, select

from store import rows
from store.ledger.claim import Claims
from store.ledger.end import CLAIMED, claimed
from store.ledger.step import begin_calls, take_steps
from store.ledger.types.arrivals import First
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, Closing, Retry, Step
from store.tables import executions, requests

_R = requests.c
_E = executions.c
NEVER_MADE = "stopped before it was made"
_STILL_OPEN = select(_E.id, _E.request_pk).where(_E.id.in_(bindparam("ids", expanding=True)), _E.outcome.is_(None))


def open_first(conn: Connection, firsts: Mapping[int, First], wants: Sequence[Want], claims: Claims) -> Claims:
    """Open the first calls that are built already, `firsts` by row, of pools in which nobody is left without a slot: there
    each leased row begins as soon as this is committed.
    """
    opening = [
        (row, call)
        for want in wants
        for row, node in _seated(want, claims)
        if row.pk in firsts and (call := _built(firsts[row.pk], node, row)) is not None and not _is_late(row)
    ]
    if not opening or claims.at is None:
        return claims
    for row, _ in opening:
        row.attempts += 1
    begin_calls(conn, opening, claims.at)
    return replace(claims, begun={row.pk: call for row, call in opening})


def _seated(want: Want, claims: Claims) -> list[tuple[Claimed, str]]:
    """The rows of a pool that was leased from, with the node of their slots where they all have one; none, if a row that is
    held or leased must wait for its slot: the pool's order says who, and only the process that holds them keeps it.
    """
    leased = [row for row in claims.rows if (row.provider, row.model) == want.pool]
    nodes = [slot.node for slot in claims.slots if (slot.provider, slot.model) == want.pool]
    if len(nodes) < len(leased) + sum(want.ready):
        return []
    node = nodes[0] if len(set(nodes)) == 1 else ""
    return [(row, node) for row in leased]


def _built(first: First, node: str, row: Claimed) -> Call | None:
    """What its row has reserved, in this very transaction, must cover the call; else its own step asks the budgets for more."""
    call = first.call
    if call is None or row.budgets is None:
        return None if call is None else replace(call, node=node)
    if call.estimate_nano is None or call.estimate_nano > (row.budget_nano or 0):
        return None
    return replace(call, node=node, budgets=row.budgets)


def _is_late(row: Claimed) -> bool:
    return row.deadline is not None and row.at >= row.deadline


def never_made(row: Claimed, call: Call) -> Step:
    """The intent stands, and nobody makes the call: it is closed, and the row waits as if it had not been leased."""
    row.attempts -= 1
    return Step(row, (Closing(call, "error", event=False, error=NEVER_MADE),), then=Retry(0.0))


def undo(conn: Connection, routes: Routes, worker: str, calls: Sequence[Call]) -> None:
    """Calls that an earlier commit may have opened, whose outcome we never learnt: whoever expected them is gone."""
    known = {call.id: call for call in calls}
    found = conn.execute(_STILL_OPEN, {"ids": rows.padded(known)})
    opened = {row.request_pk: known[row.id] for row in found}
    if not opened:
        return
    mine = CLAIMED.where(_R.pk.in_(rows.padded(opened)), _R.owner == worker, _R.state == "calling")
    lost = [claimed(row) for row in conn.execute(mine)]
    take_steps(conn, routes, worker, [never_made(row, opened[row.pk]) for row in lost])
