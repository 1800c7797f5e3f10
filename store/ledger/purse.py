"""Money is reserved before a call, and counted when it has ended; see `docs/decisions`.

Only who reserves waits for a budget's row, and locks all it needs before any other row, in the order of their ids. Who gives back
or books writes a move beside it, which locks nothing and is added by the next one who has the row. So writers never wait in a ring:
budgets by id, then requests by key, then the books, then slots.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from schemas.errors import Failure
from store import rows
from store.database import clock, now
from store.errors import Met
from store.ledger import budgeting
from store.ledger.budgeting import Known, Scope, State, pack, unpack
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.steps import Closing, Step
from store.quick import quick
from store.tables import budget_history, budget_moves, budgets, requests

_B = budgets.c
_M = budget_moves.c
_R = requests.c

VERSION = select(func.coalesce(func.max(_B.version), 0)).scalar_subquery().label("budgets_version")
_SCOPES = select(_B.id, _B.tenant, _B.key_id, _B.model, _B.run_id).where(_B.removed_at.is_(None)).order_by(_B.id)
_LOCK = (
    select(budgets, clock().label("now"))
    .where(_B.id.in_(bindparam("ids", expanding=True)))
    .order_by(_B.id)
    .with_for_update()
)
_TAKE = delete(budget_moves).where(_M.budget_id.in_(bindparam("ids", expanding=True))).returning(budget_moves)
_CHANGED = ("since", "spent_nano", "reserved_nano", "overrun_nano", "unpriced_calls", "refused", "told")
_WRITE = (
    update(budgets).where(_B.id == bindparam("the_id")).values({name: bindparam(f"the_{name}") for name in _CHANGED})
)
_MOVE = insert(budget_moves)
_REMEMBER = insert(budget_history)
_HOLD = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"))
    .values(budgets=bindparam("the_budgets"), budget_nano=bindparam("the_nano"))
)


quick(_LOCK, _TAKE, _WRITE, _MOVE, _HOLD)


class Changed(Met):
    """Budgets were set or removed since this process looked; the transaction is begun again."""


def known(conn: Connection) -> Known:
    """The budgets that there are."""
    version = conn.execute(select(VERSION)).scalar_one()
    return Known(version, [(row.id, Scope(*row[1:])) for row in conn.execute(_SCOPES)])


class Purse:
    """The budgets that one transaction may reserve from, locked; made before it locks anything else."""

    def __init__(
        self, conn: Connection, known_: Known | None, arrivals: Iterable[Arrival] = (), steps: Iterable[Step] = ()
    ) -> None:
        """`known_` None: whoever calls keeps no copy."""
        self.conn = conn
        if known_ is None:
            known_ = known(conn) if _may_cost(arrivals, steps) else Known()
            known_.wide, self._kept = True, False
        else:
            self._kept = True
            if known_.stale:
                known_.become(known(conn))
        self.known = known_
        wanted = {id_ for arrival in arrivals if isinstance(arrival.what, Ask) for id_ in self.of_ask(arrival.what)}
        wanted |= {id_ for step in steps for id_ in self._of_step(step)}
        self.states, self.at = lock(conn, wanted)
        known_.wide = False

    def check(self, version: int) -> None:
        """Raises `Changed` where the copy is old. Asked with what a statement has read that was sent anyway."""
        if self._kept and version != self.known.version:
            self.known.stale = True
            raise Changed("budgets were changed just now")

    def of_ask(self, ask: Ask) -> tuple[int, ...]:
        """The budgets that concern a request which comes; of one that is free or invalid none."""
        if ask.estimate_nano == 0 or ask.failure is not None:
            return ()
        return self.known.concerning(ask.tenant, ask.key_id, ask.provider, ask.model, ask.run_id)

    def of_call(self, step: Step) -> tuple[int, ...]:
        """Those that concern the call that begins with this step."""
        if step.opens is None or step.opens.estimate_nano == 0:
            return ()
        claim = step.claim
        return self.known.concerning(claim.tenant, claim.key_id, claim.provider, claim.model, claim.run_id)

    def _of_step(self, step: Step) -> tuple[int, ...]:
        """Those of which a call needs more than its row holds, as far as its worker knows."""
        ids = self.of_call(step)
        if not ids or (not self.known.wide and is_held(step, ids)):
            return ()
        return ids

    def reserve(
        self, ids: Sequence[int], nano: int | None, *, held: int = 0, under: Collection[int] = ()
    ) -> Failure | None:
        """Raise a hold to `nano` under each of `ids`; so much is `held` under those of `under`. A failure: one of them is hard and
        has no room for it, and nothing was reserved. None as an amount: nobody knows it; then no more is held than there was.
        """
        if not self.states.keys() >= set(ids):
            self.known.wide = True
            raise Changed("a row holds less than its worker believed")
        wanted = held if nano is None else nano
        more = {id_: max(0, wanted - (held if id_ in under else 0)) for id_ in ids}
        asked = {id_: None if nano is None else more[id_] for id_ in ids}
        tight = [self.states[id_] for id_ in ids if not self.states[id_].fits(asked[id_])]
        for state in tight:
            state.refused += 1
        if (wall := next((state for state in tight if state.hard), None)) is not None:
            return budgeting.refusal(wall, asked[wall.id])
        for id_, needed in more.items():
            self.states[id_].reserved_nano += needed
        return None

    def has_room(self, ids: Iterable[int], nano: int | None) -> bool:
        """Whether so much can be reserved under each of `ids`, which are locked. Nobody is refused by this."""
        return all(self.states[id_].fits(nano) or not self.states[id_].hard for id_ in ids)

    def close(self) -> None:
        """Write down what was reserved; nothing is locked behind it by this."""
        write(self.conn, self.states.values())


def _may_cost(arrivals: Iterable[Arrival], steps: Iterable[Step]) -> bool:
    return any(isinstance(a.what, Ask) and a.what.estimate_nano != 0 for a in arrivals) or any(
        step.opens is not None and step.opens.estimate_nano != 0 for step in steps
    )


def is_held(step: Step, ids: Sequence[int]) -> bool:
    """Whether a row holds what its next call may cost, by what its worker knows."""
    claim, call = step.claim, step.opens
    spent = sum(closing.cost_nano or 0 for closing in step.closings)
    assert call is not None
    enough = (claim.budget_nano or 0) - spent >= (call.held_nano or 0)
    return enough and call.held_nano is not None and pack(ids) == claim.budgets


def lock(conn: Connection, ids: Collection[int]) -> tuple[dict[int, State], float]:
    """These budgets as they stand now, locked, with the moves added that were beside them."""
    if not ids:
        return {}, 0.0
    asked = {"ids": rows.padded(sorted(ids))}
    found = list(conn.execute(_LOCK, asked).mappings())
    at = next((row["now"] for row in found), None) or now(conn)
    states = {row["id"]: state(row) for row in found}
    for move in sorted(conn.execute(_TAKE, asked), key=lambda row: (row.at, row.pk)):
        states[move.budget_id].add(move)
    for each in states.values():
        each.advance(at)
    return states, at


def state(row: Any) -> State:
    """A row of `budgets`."""
    told = {name: row[name] for name in State.__slots__ if name not in {"scope", "closed"}}
    return State(**told, scope=Scope(row["tenant"], row["key_id"], row["model"], row["run_id"]))


def write(conn: Connection, states: Iterable[State]) -> None:
    """As they stand, and the ends of periods into the history."""
    listed = list(states)
    rows.many(
        conn,
        _WRITE,
        ({"the_id": each.id} | {f"the_{name}": getattr(each, name) for name in _CHANGED} for each in listed),
    )
    ended = [(old, "period", budgeting.ends(old.period, old.since) or 0.0) for each in listed for old in each.closed]
    remember(conn, ended, "")


def remember(conn: Connection, told: Iterable[tuple[State, str, float]], who: str) -> None:
    """Lines of the history: how a budget stood, what happened, when."""
    rows.many(
        conn,
        _REMEMBER,
        (
            {
                "budget_id": each.id,
                "at": at,
                "event": event,
                "who": who,
                "limit_nano": each.limit_nano,
                "spent_nano": each.spent_nano,
                "reserved_nano": each.reserved_nano,
                "refused": each.refused,
            }
            for each, event, at in told
        ),
    )


class Moves:
    """What one transaction books and gives back, to be written beside the budgets."""

    def __init__(self) -> None:
        self._of: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._holds: dict[int, dict[str, Any]] = {}

    def add(
        self, ids: Iterable[int], *, spent: int = 0, reserved: int = 0, overrun: int = 0, unpriced: int = 0
    ) -> None:
        for id_ in ids:
            sums = self._of[id_]
            for i, more in enumerate((spent, reserved, overrun, unpriced)):
                sums[i] += more

    def settle(self, row: Any, ended: Iterable[tuple[str | None, Closing]]) -> int:
        """Calls of a row have ended, each with the budgets that its cost is counted under: it comes out of what the row holds, and
        what is above is an overrun. What the row holds then; `row` None: it holds nothing any more.
        """
        under = unpack(row.budgets) if row is not None else ()
        held = (row.budget_nano or 0) if row is not None else 0
        left = held
        for budgets_, closing in ended:
            if budgets_ is None or not closing.event:
                continue
            cost = closing.cost_nano or 0
            taken = min(left, cost)
            for id_ in unpack(budgets_):  # one that was made while the call was under way holds nothing
                above = cost - taken if id_ in under else cost
                self.add([id_], spent=cost, overrun=above, unpriced=int(closing.cost_nano is None))
            left -= taken
        if left != held:
            self.add(under, reserved=left - held)
        return left

    def release(self, budgets_: str | None, nano: int | None) -> None:
        """A row has ended that held so much."""
        if budgets_ and nano:
            self.add(unpack(budgets_), reserved=-nano)

    def hold(self, pk: int, budgets_: str | None, nano: int) -> None:
        """A row that goes on holds so much."""
        self._holds[pk] = {"the_pk": pk, "the_budgets": budgets_, "the_nano": nano}

    def write(self, conn: Connection, at: float) -> None:
        """Nothing for none."""
        rows.many(conn, _HOLD, self._holds.values())
        names = ("spent_nano", "reserved_nano", "overrun_nano", "unpriced_calls")
        made = (
            {"budget_id": id_, "at": at, **dict(zip(names, sums, strict=True))}
            for id_, sums in sorted(self._of.items())
            if any(sums)
        )
        rows.many(conn, _MOVE, made)
