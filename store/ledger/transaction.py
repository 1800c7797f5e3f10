"""One transaction of the writer: what a batch of items does to a connection, and what it has changed for whoever waits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, or_, select

from store import rows
from store.ledger import crowding, joining, opening, supersede
from store.ledger.accept import accept
from store.ledger.budgeting import Known
from store.ledger.claim import Claims, claim
from store.ledger.life import give_back
from store.ledger.limits import learn
from store.ledger.news import notify
from store.ledger.outgoing import mark
from store.ledger.pending import Item
from store.ledger.purse import Purse
from store.ledger.step import free_slots, take_steps
from store.ledger.types.arrivals import Accepted, Arrival, Ask, CancelAsk, First
from store.ledger.types.claims import Pool, Slot, Want
from store.ledger.types.records import Routes
from store.ledger.types.steps import Step, Stepped
from store.tables import requests

_SILENT = frozenset({"accepted", "again", "redelivered", "crowded"})
"""Arrivals that put nothing into the outbox."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction changed, for whoever waits for it. `ended`: rows that are terminal or wait again."""

    accepted: int = 0
    """Rows that wait now."""
    published: bool = False
    """Something may have been put into the outbox."""
    ended: tuple[int, ...] = ()
    claims: Claims | None = None
    cancels: bool = False
    """Somebody may have to abort a call."""
    took_s: float = 0.0
    items: int = 0
    saved: tuple[tuple[str, int], ...] = ()
    """Of each request that got another one's answer, by which way, and what its calls would have cost."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What the engine could use: `due` in any case, `new` of the pools for which this very transaction accepts rows."""

    due: Sequence[Want] = ()
    new: Mapping[Pool, Want] = field(default_factory=dict)

    def after(self, accepted: Iterable[Pool]) -> list[Want]:
        """What to claim once rows of these pools were accepted."""
        due = {want.pool: want for want in self.due}
        return list({**due, **{pool: self.new[pool] for pool in accepted if pool in self.new}}.values())


def apply(
    conn: Connection,
    routes: Routes,
    worker: str,
    known: Known,
    batch: Sequence[Item],
    wants: Wants,
    holds: tuple[set[int], set[Slot]],
) -> tuple[list[Any], Committed]:
    """Each item's answer, in their order; `holds`: rows and slots that this process knows as its own."""
    steps = [item.step for item in batch if item.step is not None]
    arrivals = [arrival for item in batch for arrival in item.arrivals]
    crowding.lock(conn, arrivals)
    purse = Purse(conn, known, arrivals, steps)
    if unsure := [a.first.call for a in arrivals if a.first and a.first.unsure and a.first.call]:
        opening.undo(conn, routes, worker, unsure)
    _lock(conn, steps, arrivals)
    # arrivals first: a row that another writer made since `_lock` is waited for before the books are locked, not behind
    accepted = accept(conn, routes, arrivals, purse) if arrivals else []
    took = take_steps(conn, routes, worker, steps, purse) if steps else []
    purse.close()
    mark(conn, [pk for item in batch for pk in item.marks])
    freed = [slot for item in batch for slot in item.frees]
    free_slots(conn, worker, freed)
    freed += [step.free for step in steps if step.free is not None]
    learn(conn, [heard for item in batch for heard in item.heard], freed)
    given_back = give_back(conn, worker, *holds) if any(item.audit for item in batch) else 0
    new = [
        arrival.what
        for arrival, found in zip(arrivals, accepted, strict=True)
        if found.decision in {"accepted", "again"}
    ]
    pools = {(ask.provider, ask.model) for ask in new if isinstance(ask, Ask)}
    wanted = wants.after(pools.union(*(each.woken for each in took)))
    claims = claim(conn, routes, worker, wanted) if wanted else None
    if claims is not None and (firsts := _firsts(arrivals, accepted)):
        claims = opening.open_first(conn, firsts, wanted, claims)
    answers = _answers(batch, accepted, took, given_back)
    ended = tuple(
        item.step.claim.pk
        for item, answer in zip(batch, answers, strict=True)
        if item.step is not None and item.step.then is not None and answer.held
    )
    cancels = any(found.decision == "cancelled" for found in accepted)
    if conn.dialect.name != "sqlite" and (accepted or ended):
        notify(conn, worker, cancels=cancels)
    published = _publishes(accepted, steps, claims)
    return answers, Committed(len(new), published, ended, claims, cancels, items=len(batch), saved=_saved(accepted))


def _lock(conn: Connection, steps: Sequence[Step], arrivals: Sequence[Arrival]) -> None:
    """All known rows of this batch in one order, before anything else is locked: writers never wait in a ring."""
    if conn.dialect.name == "sqlite" or not arrivals:
        return
    keys = supersede.keys_of(arrivals)
    if keys:
        supersede.lock(conn, keys)
    named = [a.what for a in arrivals if isinstance(a.what, Ask | CancelAsk)]
    identities = {
        rows.identity(w.tenant, w.operation, w.id) for w in named if w.operation is not None and w.id is not None
    }
    waited_for = joining.rows_waited_for(arrivals, flights=bool(steps))
    if keys:
        waited_for.append(supersede.standing(keys))
    if not steps and not waited_for:  # then one statement alone locks rows, in its own order
        return
    wanted = [requests.c.identity.in_(rows.padded(identities)), *waited_for]
    if steps:
        wanted.append(requests.c.pk.in_(rows.padded({step.claim.pk for step in steps})))
    conn.execute(select(requests.c.pk).where(or_(*wanted)).order_by(requests.c.pk).with_for_update()).all()


def _firsts(arrivals: Sequence[Arrival], accepted: Sequence[Accepted]) -> dict[int, First]:
    """Of rows that are new in this transaction, the calls with which they begin."""
    return {
        found.pk: arrival.first
        for arrival, found in zip(arrivals, accepted, strict=True)
        if arrival.first is not None and found.pk is not None and found.decision in {"accepted", "again"}
    }


def _answers(
    batch: Sequence[Item], accepted: Sequence[Accepted], took: Sequence[Stepped], given_back: int
) -> list[Any]:
    stepped = iter(took)
    answers: list[Any] = []
    at = 0
    for item in batch:
        if item.step is not None:
            answers.append(next(stepped))
        elif item.arrivals:
            answers.append(accepted[at : at + len(item.arrivals)])
            at += len(item.arrivals)
        else:
            answers.append(given_back if item.audit else None)
    return answers


def _publishes(accepted: Sequence[Accepted], steps: Sequence[Step], claims: Claims | None) -> bool:
    return (
        any(found.decision not in _SILENT for found in accepted)
        or any(step.closings or step.then is not None for step in steps)
        or (claims is not None and claims.ended)
    )


def _saved(accepted: Sequence[Accepted]) -> tuple[tuple[str, int], ...]:
    return tuple(
        ("exact" if found.decision == "cached" else "key", found.saved_nano)
        for found in accepted
        if found.saved_nano is not None
    )
