"""Budgets are set, removed, looked at, and watched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, bindparam, cast, func, insert, or_, select, union_all, update

from store import rows
from store.database import now
from store.ledger import budgeting, purse
from store.ledger.budgeting import Period, Scope, State, pack, unpack
from store.tables import HOLDING, budget_history, budget_moves, budgets, executions, requests

_B = budgets.c
_M = budget_moves.c
_E = executions.c
_R = requests.c
_H = budget_history.c
_IDS = select(_B.id).where(or_(_B.removed_at.is_(None), _B.reserved_nano != 0)).order_by(_B.id)
"""Those that may hold something: of runs there are ever more that have gone."""
_HELD = union_all(
    select(_R.budgets, func.sum(_R.budget_nano).label("nano")).where(HOLDING).group_by(_R.budgets),
    select(cast(_M.budget_id, Text), -func.sum(_M.reserved_nano)).group_by(_M.budget_id),
)
"""What rows hold, less the moves that are not added yet: of one moment, so in one statement."""
_COUNTED = update(executions).where(_E.id == bindparam("the_id")).values(budgets=bindparam("the_budgets"))
_PROGRESS = ("since", "spent_nano", "reserved_nano", "overrun_nano", "unpriced_calls", "refused", "told")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a budget is to be."""

    scope: Scope
    period: Period
    limit_nano: int
    hard: bool = True
    unpriced: bool = False
    """Lets calls pass that nothing prices."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A share of a budget's limit, in percent, that was reached for the first time in its period."""

    state: State
    share: int


def put(conn: Connection, wanted: Wanted, who: str) -> State:
    """Make it, or change the one of this scope and period. Of a day or a month what was spent in it already counts. Raises `Met`
    where somebody else sets one at the same moment: try again.
    """
    scope, at = wanted.scope, now(conn)
    told: dict[str, Any] = {
        "limit_nano": wanted.limit_nano,
        "hard": wanted.hard,
        "unpriced": wanted.unpriced,
        "version": _next_version(conn),
        "removed_at": None,
    }
    known = conn.execute(_of(scope, wanted.period).with_for_update()).one_or_none()
    if known is None:
        id_ = _make(conn, wanted, told, at)
    else:
        id_ = known.id
        states, at = purse.lock(conn, [id_])
        if known.removed_at is not None:
            told |= {"made_at": at}
            states[id_].made_at = at
            _count_anew(conn, states[id_], at)
        purse.write(conn, states.values())
        conn.execute(update(budgets).where(_B.id == id_).values(told))
    if known is None or known.removed_at is not None:
        _join_calls(conn, id_, scope)
    found = purse.state(conn.execute(select(budgets).where(_B.id == id_)).mappings().one())
    purse.remember(conn, [(found, "set", at)], who)
    return found


def _next_version(conn: Connection) -> int:
    return int(conn.execute(select(func.coalesce(func.max(_B.version), 0))).scalar_one()) + 1


def _of(scope: Scope, period: str) -> Any:
    same = (_B.tenant == scope.tenant, _B.key_id == scope.key_id, _B.model == scope.model, _B.run_id == scope.run_id)
    return select(_B.id, _B.removed_at).where(*same, _B.period == period)


def _make(conn: Connection, wanted: Wanted, told: dict[str, Any], at: float) -> int:
    since = budgeting.began(wanted.period, at, at)
    spent = _spent(conn, wanted.scope, wanted.period, since)
    made = {"spent_nano": spent, "reserved_nano": 0, "overrun_nano": 0, "unpriced_calls": 0, "refused": 0, "told": 0}
    row = told | made | {"period": wanted.period, "since": since, "made_at": at} | wanted.scope._asdict()
    return int(conn.execute(insert(budgets).values(row).returning(_B.id)).scalar_one())


def _count_anew(conn: Connection, state: State, at: float) -> None:
    """It was removed, and nothing was counted meanwhile."""
    state.since = budgeting.began(state.period, at, at)
    state.spent_nano = _spent(conn, state.scope, state.period, state.since)
    state.overrun_nano = state.unpriced_calls = state.refused = state.told = 0


def _spent(conn: Connection, scope: Scope, period: Period, since: float) -> int:
    """Before it was set: of a day or a month what was spent in it, of a run all."""
    if period == "total":
        return 0
    return _spent_since(conn, scope, 0.0 if period == "run" else since)


def _spent_since(conn: Connection, scope: Scope, since: float) -> int:
    wanted = select(func.coalesce(func.sum(_E.cost_nano), 0)).where(_E.closed_at.is_not(None), _E.closed_at >= since)
    if scope.key_id or scope.run_id:
        wanted = wanted.join_from(executions, requests, _R.pk == _E.request_pk)
    return int(conn.execute(wanted.where(*_in(scope))).scalar_one())


def _in(scope: Scope) -> list[ColumnElement[bool]]:
    """Calls that this scope counts."""
    provider, _, model = scope.model.partition("/")
    conditions = {
        _E.tenant: scope.tenant,
        _E.provider: provider,
        _E.model: "" if model == "*" else model,
        _R.key_id: scope.key_id,
        _R.run_id: scope.run_id,
    }
    return [column == value for column, value in conditions.items() if value]


def _join_calls(conn: Connection, id_: int, scope: Scope) -> None:
    """Calls that are under way count too, once they end. Locked in the order of whoever closes them."""
    wanted = select(_E.id, _E.budgets).where(_E.outcome.is_(None), *_in(scope))
    if scope.key_id or scope.run_id:
        wanted = wanted.join_from(executions, requests, _R.pk == _E.request_pk)
    found = conn.execute(wanted.order_by(_E.id).with_for_update(of=executions)).all()
    more = ({"the_id": row.id, "the_budgets": pack(sorted({*unpack(row.budgets), id_}))} for row in found)
    rows.many(conn, _COUNTED, more)


def remove(conn: Connection, id_: int, who: str) -> State | None:
    """It concerns no request any more; its history stays. None: there is no such budget."""
    states, at = purse.lock(conn, [id_])
    found = states.get(id_)
    if found is None or found.removed_at is not None:
        return None
    purse.write(conn, [found])
    conn.execute(update(budgets).where(_B.id == id_).values(removed_at=at, version=_next_version(conn)))
    purse.remember(conn, [(found, "removed", at)], who)
    return found


def standing(conn: Connection, id_: int | None = None) -> list[State]:
    """Every budget that there is, or one, as it stands at this moment; nothing is locked or written."""
    wanted = select(budgets).where(_B.removed_at.is_(None)) if id_ is None else select(budgets).where(_B.id == id_)
    found = [purse.state(row) for row in conn.execute(wanted.order_by(_B.id)).mappings()]
    if not found:
        return []
    by_id, at = {each.id: each for each in found}, now(conn)
    moves = select(budget_moves).where(_M.budget_id.in_(rows.padded(by_id))).order_by(_M.at, _M.pk)
    for move in conn.execute(moves):
        by_id[move.budget_id].add(move)
    for each in found:
        each.advance(at)
    return found


def history(conn: Connection, id_: int, limit: int = 100) -> list[Any]:
    """What has happened to it, the newest first."""
    wanted = select(budget_history).where(_H.budget_id == id_).order_by(_H.pk.desc()).limit(limit)
    return list(conn.execute(wanted).mappings())


def due(conn: Connection) -> list[int]:
    """Budgets that have moves beside them, a new period, or a share to be told of."""
    moved = set(conn.execute(select(_M.budget_id).distinct()).scalars())
    at = None
    for row in conn.execute(select(budgets).where(_B.removed_at.is_(None))).mappings():
        each = purse.state(row)
        at = at or now(conn)
        if each.reached() > each.told or budgeting.began(each.period, at, each.made_at) > each.since:
            moved.add(each.id)
    return sorted(moved)


def recount(conn: Connection) -> list[int]:
    """Reserved is what unfinished rows hold. An older program that ends a row during an update gives nothing back: whatever is
    wrong is put right. Which budgets were.
    """
    ids = list(conn.execute(_IDS).scalars())
    states, _ = purse.lock(conn, ids)
    held = dict.fromkeys(states, 0)
    for packed, nano in conn.execute(_HELD) if states else ():
        for id_ in held.keys() & set(unpack(packed)):
            held[id_] += int(nano)
    wrong = [id_ for id_, state in states.items() if state.reserved_nano != held[id_]]
    for id_ in wrong:
        states[id_].reserved_nano = held[id_]
    purse.write(conn, states.values())
    return wrong


def watch(conn: Connection, ids: Sequence[int]) -> list[Reached]:
    """Add up what was moved; which shares were reached that nobody has told of in their period."""
    states, at = purse.lock(conn, ids)
    found = [Reached(each, each.reached()) for each in states.values() if each.reached() > each.told]
    for each in found:
        each.state.told = each.share
    purse.write(conn, states.values())
    told = [each for each in found if each.state.removed_at is None]
    purse.remember(conn, ((each.state, str(each.share), at) for each in told), "")
    return told
