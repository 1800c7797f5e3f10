"""Runs of a replay: what was chosen, how far it is, and which request answers which one anew.

Each batch is one transaction with the run's cursor, so a run that was killed goes on where it stood.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, select, update

from store import rows
from store.database import now
from store.ledger import answers
from store.ledger.accept import accept
from store.ledger.chosen import Chosen
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.records import Routes
from store.ledger.types.steps import UNFINISHED
from store.tables import OPEN_ITEM, bodies, executions, outbox, replay_items, replays, requests, results

Mode = Literal["again", "recorded", "anew"]
_R = requests.c
_I = replay_items.c
_V = replays.c
_E = executions.c

_SPENT = func.coalesce(func.sum(func.coalesce(_E.cost_nano, _E.estimate_nano, 0)), 0)
_SETTLE = (
    update(replay_items)
    .where(_I.run == bindparam("the_run"), _I.request_pk == bindparam("the_pk"), _I.cost_nano.is_(None))
    .values(cost_nano=bindparam("the_cost"))
)
_NEW_ITEM = rows.upserting(replay_items, lambda statement: statement.on_conflict_do_nothing())


@dataclass(frozen=True, slots=True)
class Run:
    """One replay, as the ledger keeps it."""

    run: str
    mode: Mode
    chosen: Chosen
    options: dict[str, Any] = field(default_factory=dict)
    cursor: int = 0
    budget_nano: int | None = None
    spent_nano: int = 0
    sent: int = 0
    made_at: float = 0.0
    ended_at: float | None = None


def make(conn: Connection, run: Run) -> None:
    """Before its first batch."""
    made = {
        "run": run.run,
        "mode": run.mode,
        "chosen": run.chosen.packed(),
        "options": orjson.dumps(run.options),
        "cursor": run.cursor,
        "budget_nano": run.budget_nano,
        "spent_nano": 0,
        "sent": 0,
        "made_at": now(conn),
        "ended_at": None,
    }
    conn.execute(insert(replays), made)


def load(conn: Connection, run: str) -> Run | None:
    """None: there is no such run."""
    row = conn.execute(select(replays).where(_V.run == run)).one_or_none()
    return None if row is None else _run(row)


def latest(conn: Connection, limit: int) -> list[Run]:
    """The newest first."""
    return [_run(row) for row in conn.execute(select(replays).order_by(_V.made_at.desc(), _V.run).limit(limit))]


def _run(row: Row[Any]) -> Run:
    told = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's own name for it, and public
    return Run(**told | {"chosen": Chosen.read(row.chosen), "options": orjson.loads(row.options)})


def advance(conn: Connection, run: str, cursor: int, sent: int) -> None:
    """In the transaction of the batch itself. A second one that goes on with the same run does not set it back."""
    forward = update(replays).where(_V.run == run, _V.cursor < cursor).values(cursor=cursor, sent=_V.sent + sent)
    conn.execute(forward)


def end(conn: Connection, run: str) -> None:
    """Everything chosen was dealt with."""
    conn.execute(update(replays).where(_V.run == run).values(ended_at=now(conn)))


def reopen(conn: Connection, run: str, budget_nano: int | None) -> None:
    """Go over it again for what was left out, under another budget."""
    conn.execute(delete(replay_items).where(_I.run == run, _I.replay_pk.is_(None)))
    changed: dict[str, Any] = {"cursor": 0, "ended_at": None}
    if budget_nano is not None:
        changed["budget_nano"] = budget_nano
    conn.execute(update(replays).where(_V.run == run).values(changed))


# sending originals again, as they were


@dataclass(frozen=True, slots=True)
class Original:
    """A request with its record; `value` None: that is no longer kept."""

    row: Any
    value: bytes | None
    headers: bytes


def originals(conn: Connection, pks: Sequence[int]) -> list[Original]:
    """In the order of their keys."""
    wanted = select(requests, bodies.c.value, bodies.c.headers).join_from(
        requests, bodies, bodies.c.request_pk == _R.pk, isouter=True
    )
    found = conn.execute(wanted.where(_R.pk.in_(rows.padded(pks))).order_by(_R.pk))
    return [Original(row, row.value, b"[]" if row.headers is None else row.headers) for row in found]


def send(conn: Connection, run: str, records: Sequence[answers.OutRow], cursor: int) -> None:
    """Records for the request topics, by the same way as results: the outbox."""
    rows.many(conn, insert(outbox), records)
    advance(conn, run, cursor, len(records))


def waiting(conn: Connection, most: int) -> int:
    """Records that wait to be published; counting ends at `most`."""
    some = select(outbox.c.pk).limit(most).subquery()
    return int(conn.execute(select(func.count()).select_from(some)).scalar_one())


def outbox_end(conn: Connection) -> int:
    """The newest record that waits; 0: none does."""
    return int(conn.execute(select(func.coalesce(func.max(outbox.c.pk), 0))).scalar_one())


def is_published(conn: Connection, last: int) -> bool:
    """Whether none waits any more of those up to `last`."""
    return conn.execute(select(outbox.c.pk).where(outbox.c.pk <= last).limit(1)).first() is None


# asking anew


@dataclass(frozen=True, slots=True)
class Pulse:
    """Where a run stands with its money: spent by what has ended, feared for what has not."""

    spent_nano: int
    open_nano: int
    open: int


@dataclass(frozen=True, slots=True)
class Item:
    """One original and what is asked in its place; `ask` None: it is left out."""

    original: Original
    estimate_nano: int | None
    ask: Ask | None = None
    value: bytes = b""
    headers: bytes = b"[]"


def known_items(conn: Connection, run: str, pks: Sequence[int]) -> set[int]:
    """Originals that have their item already."""
    if not pks:
        return set()
    wanted = select(_I.request_pk).where(_I.run == run, _I.request_pk.in_(rows.padded(pks)))
    return set(conn.execute(wanted).scalars())


def pulse(conn: Connection, run: str) -> Pulse:
    """Without settling anything."""
    spent = conn.execute(select(_V.spent_nano).where(_V.run == run)).scalar_one()
    feared = select(func.count(), func.coalesce(func.sum(_I.estimate_nano), 0)).where(_I.run == run, OPEN_ITEM)
    count, nano = conn.execute(feared).one()
    return Pulse(int(spent), int(nano), int(count))


def ended_items(conn: Connection, run: str) -> list[tuple[int, int]]:
    """(original, replay) of open items whose replay has ended."""
    wanted = select(_I.request_pk, _I.replay_pk).join_from(replay_items, requests, _R.pk == _I.replay_pk)
    ended = wanted.where(_I.run == run, OPEN_ITEM, _R.state.not_in(sorted(UNFINISHED)))
    return [(row[0], row[1]) for row in conn.execute(ended)]


def settle(conn: Connection, run: str, ended: Sequence[tuple[int, int]]) -> None:
    """Put what they have really cost in the place of what was feared."""
    costs = select(_E.request_pk, _SPENT).where(_E.request_pk.in_(rows.padded(pk for _, pk in ended)))
    by_pk = {row[0]: int(row[1]) for row in conn.execute(costs.group_by(_E.request_pk))}
    spent = 0
    for original, replay in ended:
        done = conn.execute(_SETTLE, {"the_run": run, "the_pk": original, "the_cost": by_pk.get(replay, 0)})
        spent += by_pk.get(replay, 0) if done.rowcount else 0
    conn.execute(update(replays).where(_V.run == run).values(spent_nano=_V.spent_nano + spent))


def admit(conn: Connection, routes: Routes, run: str, items: Sequence[Item], cursor: int) -> int:
    """Accept what is asked, with its item and the cursor; how many were asked. The identities are the run's own, so that a
    batch whose commit nobody heard of is not asked, and paid, a second time.
    """
    asked = [item for item in items if item.ask is not None]
    arrivals = [Arrival(i.ask, None, _key(i), i.value, i.headers) for i in asked if i.ask is not None]
    pks = dict(zip(map(id, asked), accept(conn, routes, arrivals), strict=True))
    for item in asked:
        found = pks[id(item)]
        loud = item.ask is not None and not item.ask.quiet
        if (
            loud and found.decision in {"invalid", "refused"} and found.body is not None
        ):  # at once, and nobody else publishes it
            told = answers.to_results(routes, _key(item), _id(item), None, found.body, item.headers, run)
            conn.execute(insert(outbox), told)
    made = [
        {
            "run": run,
            "request_pk": item.original.row.pk,
            "generation": item.original.row.generation,
            "replay_pk": pks[id(item)].pk if id(item) in pks else None,
            "estimate_nano": item.estimate_nano,
            "cost_nano": None,
        }
        for item in items
    ]
    rows.many(conn, _NEW_ITEM(conn), made)
    advance(conn, run, cursor, len(asked))
    return len(asked)


def _key(item: Item) -> bytes | None:
    row = item.original.row
    return row.id.encode() if row.key is None else bytes(row.key)


def _id(item: Item) -> str:
    return "" if item.ask is None else item.ask.id


# holding the answers side by side


@dataclass(frozen=True, slots=True)
class Pair:
    """An original and its replay. `replay` None: left out, or not ended (`asked` tells which); `original` None: not kept."""

    pk: int
    tenant: str
    operation: str
    id: str
    asked: bool
    estimate_nano: int | None
    original: bytes | None
    replay: bytes | None


_FIRST, _SECOND = results.alias("first"), results.alias("second")
_ANEW = requests.alias("anew")
_PAIRS = (
    select(
        _I.request_pk,
        _R.tenant,
        _R.operation,
        _R.id,
        _I.replay_pk.is_not(None).label("asked"),
        _I.estimate_nano,
        _FIRST.c.body,
        _SECOND.c.body,
    )
    .join_from(replay_items, requests, _R.pk == _I.request_pk)
    .join(_ANEW, _ANEW.c.pk == _I.replay_pk, isouter=True)
    .join(_FIRST, and_(_FIRST.c.request_pk == _I.request_pk, _FIRST.c.generation == _I.generation), isouter=True)
    .join(
        _SECOND,
        and_(_SECOND.c.request_pk == _I.replay_pk, _SECOND.c.generation == _ANEW.c.generation),
        isouter=True,
    )
    .order_by(_I.request_pk)
)


def pairs(conn: Connection, run: str, behind: int = 0, limit: int = 200) -> list[Pair]:
    """Some of them, in the order of the originals' keys."""
    found = conn.execute(_PAIRS.where(_I.run == run, _I.request_pk > behind).limit(limit))
    return [_pair(*row) for row in found]


def _pair(*told: Any) -> Pair:
    return Pair(*told)


def all_pairs(conn: Connection, run: str) -> Iterator[Pair]:
    """All of them."""
    behind = 0
    while found := pairs(conn, run, behind):
        yield from found
        behind = found[-1].pk


def left_out(conn: Connection, run: str) -> tuple[int, int]:
    """How many were left out, and what they were feared to cost."""
    found = select(func.count(), func.coalesce(func.sum(_I.estimate_nano), 0))
    count, nano = conn.execute(found.where(_I.run == run, _I.replay_pk.is_(None))).one()
    return int(count), int(nano)
