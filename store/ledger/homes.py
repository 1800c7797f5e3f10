"""Which slots are open: on a node that holds only some models at a time, those of the models that it is for now.

Who decides reads and writes in one transaction, one process at a time; the claims go on beside it. A claim that has locked a
slot before it was closed has it, and then the row says so: it is closed and has an owner until its call has ended.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, text, update

from store import rows
from store.database import now
from store.ledger.types.claims import Pool
from store.tables import CLAIMABLE, requests, slots

_S = slots.c
_R = requests.c
ENOUGH = 100
"""So many waiting rows of a model are counted at most: more of them change no decision."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model's slots at a node. `busy`: how many of them have an owner."""

    node: str
    model: str
    open: bool
    busy: int
    opened_at: float


@dataclass(frozen=True, slots=True)
class Queue:
    """A model's rows that wait for a slot, those that a process has leased ahead too. `deadline`: the first one; `lane`: the best."""

    model: str
    count: int
    since: float
    deadline: float | None
    lane: int


@dataclass(frozen=True, slots=True)
class Board:
    """A provider's nodes at `at`."""

    at: float
    places: tuple[Place, ...]
    queues: tuple[Queue, ...]


_LOCK = text("SELECT pg_advisory_xact_lock(:number)")
_PLACES = (
    select(
        _S.node,
        _S.model,
        func.max(_S.opened_at).label("opened_at"),
        func.count().filter(_S.open).label("opened"),
        func.count(_S.owner).label("busy"),
    )
    .where(_S.provider == bindparam("p"))
    .group_by(_S.node, _S.model)
    .order_by(_S.node, _S.model)
)
_SOME = (
    select(_R.accepted_at, _R.deadline, _R.lane)
    .where(CLAIMABLE, _R.provider == bindparam("p"), _R.model == bindparam("m"))
    .limit(ENOUGH)
    .subquery("some")
)
_WAITING = select(func.count(), func.min(_SOME.c.accepted_at), func.min(_SOME.c.deadline), func.min(_SOME.c.lane))
"""Of those that the index has first, which are of the best lane: where more wait, one of them may be older, and it makes no difference."""
_AHEAD = select(_R.model, _R.accepted_at, _R.deadline, _R.lane).where(
    _R.owner.is_not(None), _R.provider == bindparam("p")
)
"""Rows that run and rows that were begun ahead of their slot look alike: as many as there are busy slots run, the oldest."""
_MOVE = (
    update(slots)
    .where(_S.provider == bindparam("p"), _S.node == bindparam("n"), _S.model == bindparam("m"))
    .values(open=bindparam("opens"), opened_at=bindparam("the_time"))
)


def read(conn: Connection, provider: str) -> Board:
    """The provider's nodes and what waits for them; nobody else decides until this transaction has ended."""
    if conn.dialect.name != "sqlite":
        conn.execute(_LOCK, {"number": zlib.crc32(f"homes/{provider}".encode())})
    at = now(conn)
    places = tuple(
        Place(row.node, row.model, row.opened > 0, row.busy, row.opened_at)
        for row in conn.execute(_PLACES, {"p": provider})
    )
    owned: dict[str, list[tuple[float, float | None, int]]] = {}
    for row in conn.execute(_AHEAD, {"p": provider}):
        owned.setdefault(row.model, []).append((row.accepted_at, row.deadline, row.lane))
    queues = []
    for model in sorted({place.model for place in places}):
        busy = sum(place.busy for place in places if place.model == model)
        ahead = sorted(owned.get(model, []), key=lambda head: head[0])[busy:]
        queues.append(_queue(conn, provider, model, ahead))
    return Board(at, places, tuple(queue for queue in queues if queue is not None))


def _queue(conn: Connection, provider: str, model: str, ahead: list[tuple[float, float | None, int]]) -> Queue | None:
    count, since, deadline, lane = conn.execute(_WAITING, {"p": provider, "m": model}).one()
    if not (count or ahead):
        return None
    heads = [*ahead, (since, deadline, lane)] if count else ahead
    deadlines = [each for _, each, _ in heads if each is not None]
    return Queue(
        model,
        int(count) + len(ahead),
        min(accepted_at for accepted_at, _, _ in heads),
        min(deadlines, default=None),
        min(each for _, _, each in heads),
    )


def move(
    conn: Connection, provider: str, at: float, opens: Iterable[tuple[str, str]], closes: Iterable[tuple[str, str]]
) -> None:
    """Open and close slots of (node, model), and keep a fifth of each model's open ones from batch."""
    opens, closes = list(opens), list(closes)
    models = sorted({model for _, model in opens + closes})
    # in the order in which slots are freed: an update of several rows takes them as they come, and could meet a step in a ring
    ours = select(_S.number).where(_S.provider == provider, _S.model.in_(rows.padded(models)))
    conn.execute(ours.order_by(_S.model, _S.node, _S.number).with_for_update()).all()
    told = [(node, model, True) for node, model in opens] + [(node, model, False) for node, model in closes]
    for node, model, is_open in sorted(told, key=lambda each: (each[1], each[0])):
        conn.execute(_MOVE, {"p": provider, "n": node, "m": model, "opens": is_open, "the_time": at})
    for model in models:
        _reserve(conn, (provider, model))


def _reserve(conn: Connection, pool: Pool) -> None:
    ours = (_S.provider == pool[0], _S.model == pool[1])
    found = conn.execute(
        select(_S.node, _S.number, _S.reserved).where(*ours, _S.open).order_by(_S.node, _S.number)
    ).all()
    for i, row in enumerate(found):
        if row.reserved != (i < len(found) // 5):
            here = update(slots).where(*ours, _S.node == row.node, _S.number == row.number)
            conn.execute(here.values(reserved=not row.reserved))


def leaving(conn: Connection, worker: str) -> list[tuple[Pool, str]]:
    """(pool, node) of the worker's slots that were closed while it has them."""
    found = select(_S.provider, _S.model, _S.node).where(_S.owner == worker, ~_S.open).distinct()
    return [((row.provider, row.model), row.node) for row in conn.execute(found)]


def closed_at(conn: Connection) -> list[tuple[str, str, str]]:
    """(provider, node, model) of every model that a node is not for now."""
    found = select(_S.provider, _S.node, _S.model).where(~_S.open).distinct().order_by(_S.provider, _S.node, _S.model)
    return [(row.provider, row.node, row.model) for row in conn.execute(found)]
