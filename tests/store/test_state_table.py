"""The state table is the specification: a state machine walks it on both databases, beside `tests.store.model`.

One long class, since Hypothesis wants every rule of a machine in one; a rule is one row of the table.
"""

import functools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, select

from schemas.errors import ErrorType, Failure
from schemas.money import from_usd
from schemas.result import Status
from schemas.routes import Next, Pinned, Tried
from store import rows as rows_
from store import tables
from store.ledger import batches, budgets, held, leaving, life, outgoing, parked, patience, progress, queries
from store.ledger.accept import accept
from store.ledger.budgeting import Scope, unpack
from store.ledger.claim import Claims, claim, ensure_slots
from store.ledger.opening import open_first, undo
from store.ledger.order import Order, Queues, Rules, Waiting
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Arrival, Ask, CancelAsk, First, Unreadable
from store.ledger.types.claims import Claimed, Slot, Want
from store.ledger.types.records import OutboxRow, Position
from store.ledger.types.steps import Call, Closing, Hold, Move, Park, Retry, Step, Stepped
from tests.store.ground import ROUTES, TOPIC, Ledger, answered, asked, call, ending, forget_durability, refusal
from tests.store.model import (
    ELSEWHERE,
    POOLS,
    SLOTS,
    Booked,
    Letter,
    Model,
    Row,
    dead_letter,
    results_letter,
    usage_letter,
)

RULES = Rules(lend_after_s=3600.0)
"""A realtime row is always a recent one."""
CONTROL = "genai.control"
SPENT = Failure(type=ErrorType.OVERLOADED, message="tries spent", retryable=True)
ROUTE = Pinned(name="fast", left=[Next(provider=POOLS[1][0], model=POOLS[1][1], paid=False)]).model_dump_json()
_TOPICS = {ROUTES.results: "result", ROUTES.usage: "usage", ROUTES.dlq: "dead"}


def _plain(ask: Ask) -> Ask:
    """Who names a model waits for no other one. One that replaces another request waits for none here: it may join the one
    that it ends, and then leads when that one has ended, in the same transaction; the model ends that one first. What comes
    of it is the same, who led whom is not.
    """
    if ask.route is None:
        ask = replace(ask, wait_s=None)
    if ask.supersede_key is None:
        return ask
    return replace(ask, ordered=False, idempotency_key=None, fingerprint=None)


asks = st.builds(
    asked,
    id_=st.sampled_from("abc"),
    tenant=st.sampled_from(["t", "u"]),
    payload_hash=st.sampled_from([b"one", b"one", b"one", b"two"]),
    lane=st.sampled_from([0, 1, 2, 2]),
    paid=st.booleans(),
    on_ambiguous=st.sampled_from(["retry", "retry", "fail", "hold"]),
    deadline=st.sampled_from([None] * 9 + [1.0]),
    run_id=st.sampled_from([None, None, None, "run"]),
    pinned=st.sampled_from([None, "greet 1 ab", "greet 2 cd"]),
    ordered=st.sampled_from([False, False, True]),
    idempotency_key=st.sampled_from([None, None, "k"]),
    fingerprint=st.sampled_from([None, None, b"f", b"f", b"g"]),
    fresh_s=st.sampled_from([3600.0, 3600.0, 0.0]),
    supersede_key=st.sampled_from([None, None, None, "filing"]),
    key_id=st.sampled_from([None, "key"]),
    estimate_nano=st.sampled_from([1_000, 1_000, 1_000, 0, None]),
    route=st.sampled_from([None, ROUTE]),
    wait_s=st.sampled_from([None, 0.0]),
).map(_plain)
invalid = st.builds(
    lambda ask, unreadable: replace(ask, failure=refusal(), unreadable=unreadable),
    asks,
    st.sampled_from([False, False, True]),
)
cancels = st.builds(
    CancelAsk, tenant=st.sampled_from(["t", "u"]), operation=st.just("summarize"), id=st.sampled_from("abc")
)
run_cancels = st.builds(CancelAsk, tenant=st.sampled_from(["t", "u"]), run_id=st.just("run"))
unreadable = st.just(Unreadable(refusal()))
_kinds = {"ask": asks, "invalid": invalid, "cancel": cancels, "run": run_cancels, "unreadable": unreadable}
records = st.sampled_from(["ask"] * 10 + ["invalid", "cancel", "cancel", "run", "unreadable"]).flatmap(
    _kinds.__getitem__
)
ways = st.sampled_from(
    ["ok", "ok", "ok", "ok", "more", "spent", "dead", "retry", "later", "broke", "moves", "flees", "cancelled"]
)
index = st.integers(0, 1000)
SCOPES = {  # by a name that sorts as they are made
    "a": Scope("t"),
    "b": Scope(model="fake/m"),
    "c": Scope(model="fake/*", key_id="key"),
    "d": Scope("u", run_id="run"),
}
OVER = Failure(type=ErrorType.BUDGET_EXCEEDED, message="no room", retryable=True)


@dataclass
class Lease:
    """What a worker believes to hold: a row, perhaps a slot, perhaps an open call, perhaps the same call beside it."""

    claim: Claimed
    slot: Slot | None = None
    call: Call | None = None
    beside: Call | None = None


@dataclass
class Worker:
    """A process as far as the ledger is concerned."""

    name: str
    leases: list[Lease]
    slots: list[Slot]

    def idle_slots(self, row: Claimed) -> list[Slot]:
        """Those that this row may use."""
        used = {lease.slot for lease in self.leases}
        own = [slot for slot in self.slots if (slot.provider, slot.model) == (row.provider, row.model)]
        return [slot for slot in own if slot not in used and not (row.lane == 2 and slot.reserved)]


def _of(arrival: Arrival) -> tuple[str, str] | None:
    """The tenant and the id of a request."""
    return (arrival.what.tenant, arrival.what.id) if isinstance(arrival.what, Ask) else None


def _behind(log: list[Arrival]) -> Position:
    """The next place of a partition that has records."""
    last = log[-1].position
    assert last is not None
    return Position(last.topic, last.partition, len(log), 1_000 + len(log))


def _place(slot: Any) -> int:
    return int(slot.number) + SLOTS * POOLS.index((slot.provider, slot.model))


class StateTable(RuleBasedStateMachine):
    """Every rule is one event of the table, done to the model and to the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.model = Model()
        self.workers: list[Worker] = []
        self.zombies: list[tuple[str, Lease]] = []
        self.parked: list[Lease] = []
        """Their calls lie in a provider's batch, or will."""
        self.published: list[OutboxRow] = []
        self.seen: set[int] = set()
        self.made: Counter[Letter] = Counter()
        self.fences: dict[bytes, int] = {}
        self.names = iter(f"w{i}" for i in range(10_000))
        ledger.empty()
        ledger.write(lambda conn: ensure_slots(conn, [(pool, "n", SLOTS) for pool in POOLS]))
        self.model.slots = dict.fromkeys(range(SLOTS * len(POOLS)))
        for _ in range(3):
            self._join()

    def _join(self) -> None:
        worker = Worker(next(self.names), [], [])
        self.ledger.write(lambda conn: life.register(conn, worker.name, "host", 1))
        self.workers.append(worker)

    # ---- records come in

    @rule(
        arriving=st.lists(st.tuples(records, st.integers(0, 1)), min_size=1, max_size=6),
        twice=st.sampled_from([False, False, True]),
        shuffle=st.randoms(),
    )
    def records_arrive(self, arriving: list[tuple[Any, int]], twice: bool, shuffle: random.Random) -> None:
        """Written to Kafka and taken in with whatever else was not read yet, in one transaction; fetched twice, perhaps."""
        for what, number in arriving:
            topic = CONTROL if isinstance(what, CancelAsk) else TOPIC
            where = 0 if topic == CONTROL else number
            log = self.model.places[topic, where].log
            position = Position(topic, where, len(log), 1_000 + len(log))
            log.append(Arrival(what, position, b"key" if number else None, b'{"input":{}}', b"[]"))
        self._take_in(self._unread(shuffle) * (1 + twice))

    def _unread(self, shuffle: random.Random) -> list[Arrival]:
        """Of each partition in its order; the partitions in any."""
        queues = [p.log[p.next_offset :] for p in self.model.places.values() if len(p.log) > p.next_offset]
        found = []
        while queues:
            queue = shuffle.choice(queues)
            found.append(queue.pop(0))
            queues = [queue for queue in queues if queue]
        return found

    def _take_in(self, arrivals: list[Arrival]) -> None:
        expected = [self.model.accept(arrival) for arrival in arrivals]
        self.model.commit()
        decided = self.ledger.write(lambda conn: accept(conn, ROUTES, arrivals))
        assert [found.decision for found in decided] == expected

    @rule(
        what=records.filter(lambda what: not isinstance(what, Unreadable)),
        most=st.sampled_from([None, None, 1, 2]),
        quiet=st.booleans(),
        at=index,
    )
    def over_http(self, what: Any, most: int | None, quiet: bool, at: int) -> None:
        """Of nobody's key, or of one that may have so many unfinished requests. The caller waits at one of the processes."""
        if isinstance(what, Ask):
            alone, key = what.idempotency_key is None, None if most is None else "key"
            here = self.workers[at % 3].name if alone else None
            what = replace(what, alone=alone, caller=here, key_id=key, most_at_once=most, quiet=quiet)
        self._take_in([Arrival(what, None, None, b'{"input":{}}', b"[]")])

    @rule(what=asks, shuffle=st.randoms())
    def a_key_is_shared(self, what: Ask, shuffle: random.Random) -> None:
        """Two ask for one answer."""
        log = self.model.places[TOPIC, 0].log
        for id_ in "ab":
            ask = _plain(replace(what, id=id_, supersede_key=None, idempotency_key="k"))
            log.append(Arrival(ask, Position(TOPIC, 0, len(log), 1_000 + len(log)), None, b'{"input":{}}', b"[]"))
        self._take_in(self._unread(shuffle))

    @precondition(lambda self: any(row.state == "failed" for row in self.model.rows.values()))
    @rule(which=index, most=st.integers(1, 3), shuffle=st.randoms())
    def dead_letters_are_sent_again(self, which: int, most: int, shuffle: random.Random) -> None:
        """As they were, where they have been sent before; with some of those that failed beside them."""
        keys = [row.key for row in self.model.rows.values() if row.state == "failed"]
        first = which % len(keys)
        keys = (keys[first:] + keys[:first])[:most]
        logs = [place.log for place in self.model.places.values()]
        for key in keys:
            for log in logs:
                last = [each for each in log if _of(each) == key][-1:]
                log += [replace(each, position=_behind(log)) for each in last]
        self._take_in(self._unread(shuffle))

    @precondition(lambda self: any(row.unfinished and not row.from_kafka for row in self.model.rows.values()))
    @rule(which=index)
    def caller_leaves(self, which: int) -> None:
        here = [row for row in self.model.rows.values() if row.unfinished and not row.from_kafka]
        row = here[which % len(here)]
        identity = rows_.identity(row.key[0], "summarize", row.key[1])

        def work(conn: Connection) -> bool:
            found = conn.execute(select(tables.requests.c.pk).where(tables.requests.c.identity == identity))
            return leaving.leave(conn, ROUTES, found.scalar_one(), row.generation)

        assert self.ledger.write(work) == self.model.leave(row)

    @precondition(lambda self: any(place.next_offset for place in self.model.places.values()))
    @rule(which=index, back=st.integers(1, 5))
    def redelivered(self, which: int, back: int) -> None:
        """A rebalance reads again what was never committed."""
        places = [place for place in self.model.places.values() if place.next_offset]
        place = places[which % len(places)]
        again = place.log[max(0, place.next_offset - back) : place.next_offset]
        self._take_in(again + place.log[place.next_offset :])

    @rule(seen=st.booleans())
    def offsets_are_committed(self, seen: bool) -> None:
        """And the ledger is told so, unless its process dies in between."""
        for place in self.model.places.values():
            place.committed = place.next_offset
            if seen:
                place.committed_seen = place.committed
        if seen:
            commits = {at: place.committed for at, place in self.model.places.items() if place.log}
            self.ledger.write(lambda conn: progress.saw_commit(conn, commits))

    @precondition(lambda self: any(place.committed_seen for place in self.model.places.values()))
    @rule(which=index, to=index, reads=st.integers(0, 3))
    def operator_moves_offsets_back(self, which: int, to: int, reads: int) -> None:
        """Then only a few records are read before the next event: a crash in the middle of a replay."""
        places = [(at, place) for at, place in self.model.places.items() if place.committed_seen]
        at, place = places[which % len(places)]
        place.committed = to % place.committed_seen
        start = self._assign(at)
        assert (start.why, start.offset) == ("reset", place.committed)
        place.replay_until = max(place.replay_until, place.next_offset)
        place.next_offset = place.committed_seen = place.committed
        self._take_in(place.log[place.next_offset : place.next_offset + reads])

    @precondition(lambda self: any(place.log for place in self.model.places.values()))
    @rule(which=index)
    def partition_is_assigned(self, which: int) -> None:
        places = [(at, place) for at, place in self.model.places.items() if place.log]
        at, place = places[which % len(places)]
        start = self._assign(at)
        assert (start.why, start.offset) == ("on", place.next_offset)

    def _assign(self, at: tuple[str, int]) -> progress.Start:
        place = self.model.places[at]

        def work(conn: Connection) -> progress.Start:
            known = progress.load(conn, *at)
            assert known is not None
            last = place.log[known.next_offset - 1] if known.next_offset else None
            timestamp = last.position.timestamp if last and last.position else None
            start = progress.decide(known, committed=place.committed, begin=0, end=len(place.log), timestamp=timestamp)
            progress.save(conn, *at, start.progress)
            return start

        return self.ledger.write(work)

    # ---- work

    @rule(which=index, where=st.sampled_from([0, 0, 1]), begins=st.sampled_from([None, None, "opened", "unknown"]))
    def claims(self, which: int, where: int = 0, begins: str | None = None) -> None:
        """`opened`: first calls are built by then, and open where each row has its slot; `unknown`: its worker never learns."""
        worker, pool = self.workers[which % 3], POOLS[where]
        mine = [x for x in worker.leases if x.slot is None and (x.claim.provider, x.claim.model) == pool]
        held = Queues((x.claim.pair, x.claim.waiting) for x in mine)
        keys, numbers = self.model.claim(worker.name, held, self.ledger.read(_turns), where)
        want = Want(pool, SLOTS, held.counts(), held=held, order=Order(RULES))
        firsts: dict[int, First] = {}

        def work(conn: Connection) -> Claims:
            found = claim(conn, ROUTES, worker.name, [want])
            fresh = [row for row in found.rows if not row.attempts and self.model.is_funded((row.tenant, row.id))]
            firsts.update({row.pk: First(call(row, attempt="-first")) for row in fresh})
            return open_first(conn, firsts, [want], found) if begins else found

        found = self.ledger.write(work)
        assert [(row.tenant, row.id) for row in found.rows] == keys
        assert [row.pinned for row in found.rows] == [self.model.rows[key].pinned for key in keys]
        assert [row.route for row in found.rows] == [self.model.rows[key].route for key in keys]
        assert [_place(slot) for slot in found.slots] == numbers
        leases = [Lease(row) for row in found.rows]
        worker.leases += leases
        worker.slots += found.slots
        seated = len(found.slots) >= len(leases) + sum(held.counts())
        opened = [lease for lease in leases if begins and seated and lease.claim.pk in firsts]
        assert found.begun.keys() == {lease.claim.pk for lease in opened}
        for lease in opened:
            self._begun(worker, lease, found.begun[lease.claim.pk])
        if opened and begins == "unknown":
            self._never_learnt(worker, opened)

    def _begun(self, worker: Worker, lease: Lease, opens: Call) -> None:
        """Its first call is open with its lease."""
        row, idle = self._row(lease), worker.idle_slots(lease.claim)
        own = {
            slot for slot in worker.slots if (slot.provider, slot.model) == (lease.claim.provider, lease.claim.model)
        }
        lease.call = opens
        lease.slot = idle[0] if idle else next(iter(own - {each.slot for each in worker.leases}))
        row.state, row.attempts = "calling", 1
        self.model.calls[opens.id] = Booked(row.key, row.generation, 1, lease.claim.paid, 1_000, budgets=row.budgets)

    def _never_learnt(self, worker: Worker, opened: list[Lease]) -> None:
        calls = [lease.call for lease in opened if lease.call]
        for _ in range(2):  # and the outcome of that was unknown too
            self.ledger.write(lambda conn: undo(conn, ROUTES, worker.name, calls))
        for lease in opened:
            assert lease.call
            row = self._row(lease)
            self.model.book(lease.call.id, "error", 0, event=False)
            row.attempts = 0
            self.model.wait(row)
            worker.leases.remove(lease)

    def _leases(self, wanted: Callable[[Worker, Lease], bool]) -> list[tuple[Worker, Lease]]:
        return [(worker, lease) for worker in self.workers for lease in worker.leases if wanted(worker, lease)]

    def _row(self, lease: Lease) -> Row:
        return self.model.rows[lease.claim.tenant, lease.claim.id]

    def _holds(self, lease: Lease) -> bool:
        """Whether the ledger agrees that this lease still stands."""
        row, mine = self._row(lease), lease.claim
        return (row.fence, row.generation) == (mine.fence, mine.generation) and row.state in {"leased", "calling"}

    def _could_call(self, worker: Worker, lease: Lease) -> bool:
        return lease.call is None and (lease.slot is not None or bool(worker.idle_slots(lease.claim)))

    @precondition(lambda self: self._leases(self._could_call))
    @rule(which=index, twice=st.booleans(), estimate=st.sampled_from([None, 0, 1_000, 1_000, 1_500]))
    def intent(self, which: int, twice: bool, estimate: int | None) -> None:
        ready = self._leases(self._could_call)
        worker, lease = ready[which % len(ready)]
        claimed = lease.claim
        lease.slot = lease.slot or worker.idle_slots(claimed)[0]
        if self._row(lease).state == "leased":
            claimed.attempts += 1
        number = 1 + sum(
            past.outcome == "ok" for past in self.ledger.read(lambda conn: queries.past_calls(conn, claimed))
        )
        opens = call(claimed, number, attempt=f"-{claimed.attempts}", nano=estimate)
        stepped = self._step(worker, Step(claimed, opens=opens), twice)
        row = self._row(lease)
        holds = self._holds(lease)
        self.model.commit()  # several events may have come before it in one rule
        under = self.model.call(row, estimate) if holds and not row.cancel else ()
        told = replace(stepped, refused=None, held_nano=None)
        assert (told, stepped.refused is None) == (Stepped(held=holds, cancel=holds and row.cancel), under is not None)
        if under is None:
            self.model.commit()
            self._answer(worker, lease, Step(claimed, then=ending(Status.FAILED, OVER, attempts=claimed.attempts)))
        elif not holds:
            self._drop(worker, lease)
        elif row.cancel:
            self._answer(worker, lease, Step(claimed, then=ending(Status.CANCELLED, attempts=claimed.attempts)))
        else:
            lease.call = opens
            row.state, row.attempts = "calling", claimed.attempts
            self.model.calls[opens.id] = Booked(row.key, row.generation, number, claimed.paid, estimate, budgets=under)

    @precondition(lambda self: self._leases(lambda _, lease: lease.call is not None and lease.beside is None))
    @rule(
        which=index,
        twice=st.booleans(),
        estimate=st.sampled_from([0, 1_000, None]),
        ends=st.sampled_from(["first", "second", "no", "no"]),
    )
    def a_second_call_is_made_beside_it(self, which: int, twice: bool, estimate: int | None, ends: str) -> None:
        """Which of the two is given up at once; `no`: the second one is, once something happens to the row."""
        calling = self._leases(lambda _, lease: lease.call is not None and lease.beside is None)
        worker, lease = calling[which % len(calling)]
        claimed, row, first = lease.claim, self._row(lease), lease.call
        assert first is not None
        opens = replace(call(claimed, first.number, attempt=f"-{next(self.names)}", nano=estimate), beside_nano=1_000)
        stepped = self._step(worker, Step(claimed, opens=opens), twice)
        self.model.commit()
        held_nano = None if estimate is None else estimate and estimate + 1_000
        under = () if row.cancel else self.model.call(row, held_nano)
        assert (stepped.held, stepped.cancel, stepped.refused is None) == (True, row.cancel, under is not None)
        if under is None or row.cancel:
            return self.model.commit()
        booked = Booked(row.key, row.generation, opens.number, claimed.paid, estimate, budgets=under, beside=True)
        self.model.calls[opens.id], lease.beside = booked, opens
        if ends == "first":
            lease.call, lease.beside = opens, first
        if ends != "no":
            closing = self._given_up(lease)
            assert self._step(worker, Step(claimed, closing), twice).held
            self._book(closing)
        return None

    def _given_up(self, lease: Lease) -> tuple[Closing, ...]:
        """The call beside the one that counts."""
        what, paid = lease.beside, lease.claim.paid
        lease.beside = None
        return () if what is None else (Closing(what, "wasted", event=paid, cost_nano=11 if paid else 0),)

    def _book(self, closings: tuple[Closing, ...]) -> None:
        for closing in closings:
            self.model.book(closing.call.id, closing.outcome, closing.cost_nano, event=closing.event)

    @precondition(lambda self: self._leases(lambda _, lease: lease.call is None))
    @rule(which=index, twice=st.booleans())
    def parks(self, which: int, twice: bool) -> None:
        """Its call goes into a provider's batch: it needs no slot for that, and holds none."""
        ready = self._leases(lambda _, lease: lease.call is None)
        worker, lease = ready[which % len(ready)]
        claimed, row = lease.claim, self._row(lease)
        if row.state == "leased":
            claimed.attempts += 1
        number = 1 + sum(past.outcome == "ok" for past in self.ledger.read(lambda c: queries.past_calls(c, claimed)))
        opens = replace(call(claimed, number, attempt=f"-{claimed.attempts}b"), kind="batch")
        stepped = self._step(worker, Step(claimed, opens=opens, then=Park("chat", "n", b"{}")), twice)
        holds = self._holds(lease)
        self.model.commit()
        under = self.model.call(row, 1_000) if holds and not row.cancel else ()
        assert (stepped.held, stepped.cancel, stepped.refused is None) == (
            holds,
            holds and row.cancel,
            under is not None,
        )
        if under is None or (holds and row.cancel):
            self.model.commit()
            end = ending(Status.FAILED, OVER) if under is None else ending(Status.CANCELLED)
            return self._answer(worker, lease, Step(claimed, then=replace(end, attempts=claimed.attempts)))
        if holds:
            self.model.park(row, claimed.attempts)
            self.model.calls[opens.id] = Booked(row.key, row.generation, number, claimed.paid, 1_000, budgets=under)
            self.model.loose.add(opens.id)
            self.parked.append(Lease(claimed, call=opens))
        return self._drop(worker, lease)

    @rule(which=index)
    def is_gathered(self, which: int) -> None:
        """From here on the provider may have what waited."""
        how = batches.Gathering(1_000, 10**9, 0.0)
        worker = self.workers[which % 3].name
        self.ledger.write(lambda conn: batches.gather(conn, worker, dict.fromkeys((pool[0] for pool in POOLS), how)))
        self.model.loose.clear()

    @precondition(lambda self: self.parked)
    @rule(which=index, how=st.sampled_from(["ok", "ok", "undone", "refused", "lost"]), cost=st.sampled_from([0, 17]))
    def batch_comes_back(self, which: int, how: str, cost: int) -> None:
        """To a row that waits for it, or to one that has ended meanwhile: then what was run is wasted. `lost`: nobody knows
        whether it was paid.
        """
        lease = self.parked.pop(which % len(self.parked))
        row, what = self._row(lease), lease.call
        assert what is not None
        live = self._holds(lease) and row.owner == parked.OWNER
        landing = self.ledger.read(lambda conn: parked.landing(conn, [what.id]))
        assert [each.live for each in landing.values()] == ([live] if self.model.calls[what.id].outcome is None else [])
        step = self._closing_step(lease, {"undone": "retry", "refused": "dead", "lost": "broke"}.get(how, how), cost)
        if live:
            self._answer(Worker(self.workers[0].name, [lease], []), lease, step)
            return
        self.ledger.write(lambda conn: take_steps(conn, ROUTES, "nobody", [Step(lease.claim, step.closings)]))
        (closing,) = step.closings
        self.model.book(what.id, "wasted" if how == "ok" else closing.outcome, closing.cost_nano, event=closing.event)

    @rule()
    def batches_are_called_off(self) -> None:
        """What nobody wants any more of what lies in batches, or waits for one."""
        gone = self.ledger.write(lambda conn: parked.call_off(conn, ROUTES))
        assert gone == self.model.call_off()

    @precondition(lambda self: self._leases(lambda _, lease: lease.call is not None))
    @rule(
        which=index,
        how=ways,
        cost=st.sampled_from([None, 0, 17, 1_000_000_007]),
        twice=st.booleans(),
    )
    def answer(self, which: int, how: str, cost: int | None, twice: bool) -> None:
        """`more`: the call's answer is committed, the request goes on. `broke`: after its first byte, owner alive."""
        calling = self._leases(lambda _, lease: lease.call is not None)
        worker, lease = calling[which % len(calling)]
        self._answer(worker, lease, self._closing_step(lease, how, cost), twice)

    @rule(which=index, how=st.lists(ways | st.none(), min_size=1, max_size=4))
    def work_goes_on(self, which: int, how: list[str | None]) -> None:
        """Most of what happens: a claim, some calls, and answers to some of them."""
        self.claims(which)
        if any(row.pool for row in self.model.rows.values()):
            self.claims(which, 1)
        for way in how:
            if self._leases(self._could_call):
                self.intent(which, twice=False, estimate=1_000)
            if way and self._leases(lambda _, lease: lease.call is not None):
                self.answer(which, way, cost=17, twice=False)

    def _closing_step(self, lease: Lease, how: str, cost: int | None) -> Step:
        mine, what = lease.claim, lease.call
        assert what is not None
        failed = ending(Status.FAILED, SPENT, attempts=mine.attempts)
        known_unpaid = Closing(what, "error", event=False, error_type="overloaded", error="busy\0")
        wasted = Closing(what, "wasted", event=True, input_tokens=10, output_tokens=5, estimated=True, cost_nano=cost)
        if how == "cancelled":
            return Step(mine, (wasted,), then=ending(Status.CANCELLED, attempts=mine.attempts))
        if how == "broke" and mine.paid and mine.on_ambiguous == "hold":
            return Step(mine, (wasted,), then=Hold())
        if how in {"moves", "flees"}:
            return self._move(mine, known_unpaid, wasted, how)
        if how == "broke" and mine.paid:
            again = mine.on_ambiguous == "retry" and mine.ambiguous == 0
            return Step(mine, (wasted,), then=Retry(0, ambiguous=True) if again else failed)
        return {
            "ok": Step(mine, (answered(what, cost),), then=ending(attempts=mine.attempts)),
            "more": Step(mine, (answered(what, cost),)),
            "spent": Step(mine, (known_unpaid,), then=replace(failed, dead_letter=False)),
            "dead": Step(mine, (known_unpaid,), then=failed),
            "retry": Step(mine, (known_unpaid,), then=Retry(0)),
            "later": Step(mine, (known_unpaid,), then=Retry(3_600)),
            "broke": Step(mine, (known_unpaid,), then=Retry(0)),
        }[how]

    def _move(self, mine: Claimed, unpaid: Closing, wasted: Closing, how: str) -> Step:
        """To the next target; `flees`: a paid call broke off, which may be made of another model once."""
        flees = how == "flees" and mine.paid and mine.on_ambiguous == "retry" and mine.ambiguous == 0
        where = POOLS[1 - POOLS.index((mine.provider, mine.model))]
        tried = Tried(target=f"{mine.provider}/{mine.model}", error=ErrorType.UNREACHABLE)
        left = Pinned(name="fast", tried=[tried], since=mine.attempts).model_dump_json()
        then = Move(*where, paid=not mine.paid, route=left, ambiguous=flees)
        return Step(mine, (wasted if flees else unpaid,), then=then)

    def _answer(self, worker: Worker, lease: Lease, step: Step, twice: bool = False) -> None:
        free = lease.slot if step.then is not None else None
        row, holds = self._row(lease), self._holds(lease)
        assert holds or not lease.call, "a call is never taken from a living owner"
        step = replace(step, closings=(*step.closings, *self._given_up(lease)))
        stepped = self._step(worker, replace(step, free=free), twice)
        cancel = row.cancel
        self._book(step.closings)
        lease.call = None
        if step.then is None:
            assert replace(stepped, held_nano=None) == Stepped(held=True, cancel=cancel)
            return
        if isinstance(step.then, Hold):
            row.attempts = lease.claim.attempts
            self.model.hold(row)
            if cancel or row.superseded:
                self.model.end(row, "cancelled")
        elif isinstance(step.then, Move):
            row.attempts, then = lease.claim.attempts, step.then
            self.model.move(row, then.route, paid=then.paid, ambiguous=then.ambiguous)
            self.model.end(row, "cancelled") if cancel or row.superseded else self.model.part(row)
        elif isinstance(step.then, Retry):
            row.attempts = lease.claim.attempts
            self.model.wait(row, delayed=step.then.delay_s > 0, ambiguous=int(step.then.ambiguous))
            if cancel or row.superseded:
                self.model.end(row, "cancelled")
        else:
            failure = step.then.failure
            row.attempts = step.then.attempts
            self.model.end(row, step.then.status, failure and failure.type.value, dead=step.then.dead_letter)
            assert stepped.body is not None
            assert orjson.loads(stepped.body)["generation"] == row.generation
        assert stepped.held
        self._drop(worker, lease)

    def _step(self, worker: Worker, step: Step, twice: bool) -> Stepped:
        """Twice: the outcome of its commit was unknown, or a stopped caller left it behind in the same batch."""
        first = self.ledger.write(lambda conn: take_steps(conn, ROUTES, worker.name, [step] * (1 + twice)))
        second = self.ledger.write(lambda conn: take_steps(conn, ROUTES, worker.name, [step])) if twice else first
        for again in (*first[1:], *second):
            assert (again.held, again.body) == (first[0].held, first[0].body)
        return first[0]

    def _drop(self, worker: Worker, lease: Lease) -> None:
        """Done with a row: its slot is free already, or can go with nobody to use it."""
        worker.leases.remove(lease)
        if lease.slot is None:
            return
        if self.model.slots[_place(lease.slot)] == worker.name:
            free = Step(lease.claim, free=lease.slot)
            self.ledger.write(lambda conn: take_steps(conn, ROUTES, worker.name, [free]))
        worker.slots.remove(lease.slot)
        self.model.slots[_place(lease.slot)] = None

    @precondition(lambda self: self._leases(lambda _, lease: lease.slot is None))
    @rule(which=index, expire=st.booleans())
    def ended_before_a_call(self, which: int, expire: bool) -> None:
        """Its deadline passed while it was leased, or its worker cannot run it."""
        leased = self._leases(lambda _, lease: lease.slot is None)
        worker, lease = leased[which % len(leased)]
        end = ending(
            Status.EXPIRED if expire else Status.FAILED, None if expire else SPENT, attempts=lease.claim.attempts
        )
        if self._holds(lease):
            self._answer(worker, lease, Step(lease.claim, then=end))
        else:
            stepped = self._step(worker, Step(lease.claim, then=end), twice=False)
            done = self._same_end(lease, end.status)
            assert (stepped.held, stepped.body is not None) == (done, done)
            self._drop(worker, lease)

    def _same_end(self, lease: Lease, status: str) -> bool:
        row, mine = self._row(lease), lease.claim
        return (row.fence, row.generation, row.state) == (mine.fence, mine.generation, status)

    @rule(which=index, known=st.sets(st.integers(0, 5)))
    def gives_back(self, which: int, known: set[int]) -> None:
        """A claim whose outcome its worker never learnt: it does not know of some rows and slots."""
        worker = self.workers[which % 3]
        lost = [lease for i, lease in enumerate(worker.leases) if i not in known and lease.slot is None]
        used = {lease.slot for lease in worker.leases}
        stray = [slot for slot in worker.slots if slot not in used]
        worker.leases = [lease for lease in worker.leases if lease not in lost]
        worker.slots = [slot for slot in worker.slots if slot not in stray]
        rows = {lease.claim.pk for lease in worker.leases}
        kept = {replace(slot, reserved=False) for slot in worker.slots}  # as it was when it was taken
        given = self.ledger.write(lambda conn: life.give_back(conn, worker.name, rows, kept))
        standing = [lease for lease in lost if self._holds(lease) and self._row(lease).state == "leased"]
        assert given == len(standing) + len(stray)
        for lease in standing:
            self.model.wait(self._row(lease), delayed=self._row(lease).delayed)
        for slot in stray:
            self.model.slots[_place(slot)] = None

    @rule(which=index, again=st.booleans(), twice=st.booleans())
    def somebody_decides(self, which: int, again: bool, twice: bool) -> None:
        """About any row: only a held one obeys, and only once."""
        for _ in range(1 + twice):
            found = sorted(self.model.rows.values(), key=lambda row: (row.state != "held", row.order))
            if not found:
                return
            row = found[which % max(1, sum(row.state == "held" for row in found))]
            name = rows_.identity(row.key[0], "summarize", row.key[1])
            if again:
                told = self.ledger.write(lambda conn, name=name: held.retry(conn, [name], "cli"))
            else:
                told = self.ledger.write(lambda conn, name=name: held.drop(conn, ROUTES, [name], "cli"))
            assert told == {name: row.state}
            if row.state == "held":
                self.model.decide(row, again=again)

    # ---- budgets

    @rule(name=st.sampled_from(sorted(SCOPES)), limit=st.sampled_from([0, 2_500, 10_000, 10**12]), hard=st.booleans())
    def somebody_sets_a_budget(self, name: str, limit: int, hard: bool) -> None:
        for each in sorted(SCOPES):  # whoever was made first is asked first
            if each <= name and (each == name or each not in self.model.budgets):
                self.model.set_budget(each, SCOPES[each], limit, hard=hard)
                wanted = budgets.Wanted(SCOPES[each], "total", limit, hard)
                self.ledger.write(lambda conn, wanted=wanted: budgets.put(conn, wanted, "test"))

    @precondition(lambda self: any(not budget.removed for budget in self.model.budgets.values()))
    @rule(which=index)
    def somebody_removes_a_budget(self, which: int) -> None:
        here = [(i, each) for i, each in enumerate(self.model.budgets.values()) if not each.removed]
        place, budget = here[which % len(here)]
        budget.removed = True
        id_ = self.ledger.read(_budget_ids)[place]
        assert self.ledger.write(lambda conn: budgets.remove(conn, id_, "test")) is not None
        assert self.ledger.write(lambda conn: budgets.remove(conn, id_, "test")) is None

    @rule()
    def somebody_watches_budgets(self) -> None:
        """What was moved is added up, and each share told once."""
        told = self.ledger.write(lambda conn: budgets.watch(conn, budgets.due(conn)))
        assert all(each.share == each.state.reached() for each in told)
        assert self.ledger.write(lambda conn: budgets.watch(conn, budgets.due(conn))) == []
        assert self.ledger.write(budgets.recount) == []

    @precondition(lambda self: any(row.waits for row in self.model.rows.values()))
    @rule()
    def patience_ends(self) -> None:
        assert self.ledger.read(patience.ahead) <= set(POOLS)
        assert self.ledger.write(lambda conn: patience.move(conn, ROUTES, POOLS)) == self.model.go_on()

    # ---- death

    @rule(which=index)
    def dies(self, which: int) -> None:
        worker = self.workers.pop(which % 3)
        self._bury(worker)
        self._join()

    def _bury(self, worker: Worker) -> None:
        self.zombies += [(worker.name, lease) for lease in worker.leases]
        ambiguous = [row for row in self.model.rows.values() if row.owner == worker.name and row.paid]
        expected = sum(1 for row in ambiguous if self.model.open_calls(row))
        self.model.bury(worker.name)
        assert self.ledger.write(lambda conn: life.bury(conn, ROUTES, [worker.name])) == expected

    @rule(times=st.sampled_from([2, 2, 5]), calls=st.booleans())
    def die_of_it(self, times: int, calls: bool) -> None:
        """One worker after the other claims what there is, perhaps calls, and dies."""
        for _ in range(times):
            self.claims(0)
            if calls and self._leases(self._could_call):
                self.intent(0, twice=False, estimate=1_000)
            self.dies(0)

    @precondition(lambda self: self.zombies)
    @rule(which=index, how=st.sampled_from(["open", "end", "claim", "beat"]))
    def zombie_writes(self, which: int, how: str) -> None:
        """A worker that was taken for dead goes on for a moment."""
        name, lease = self.zombies[which % len(self.zombies)]
        mine = lease.claim
        if how == "claim":
            found = self.ledger.write(lambda conn: claim(conn, ROUTES, name, [Want(POOLS[0], SLOTS, (0, 0, 0))]))
            assert (found.rows, found.slots) == ((), ())
        elif how == "beat":
            assert not self.ledger.write(lambda conn: life.beat(conn, name))
        elif how == "open":
            step = Step(mine, opens=call(mine, 9, attempt="-zombie"), free=lease.slot)
            assert not self.ledger.write(lambda conn: take_steps(conn, ROUTES, name, [step]))[0].held
        else:
            closings = (answered(lease.call),) if lease.call else ()
            step = Step(mine, closings, then=ending(attempts=mine.attempts), free=lease.slot)
            stepped = self.ledger.write(lambda conn: take_steps(conn, ROUTES, name, [step]))[0]
            assert not stepped.held

    # ---- the relay

    @rule(which=index, limit=st.integers(1, 20), crash=st.booleans())
    def relays(self, which: int, limit: int, crash: bool) -> None:
        """Published, and marked unless it crashes in between: then they come once more."""
        worker = self.workers[which % 3]
        self.ledger.write(lambda conn: outgoing.lease_places(conn, worker.name))
        found = self.ledger.read(lambda conn: outgoing.pending(conn, worker.name, limit, outgoing.ledger_id(conn)))
        self.published += found
        if not crash:
            self.ledger.write(lambda conn: outgoing.mark(conn, [row.pk for row in found]))

    # ---- what must be so after every event

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        self.ledger.read(self._compare)

    def _compare(self, conn: Connection) -> None:
        self.model.commit()
        self._compare_rows(conn)
        self._compare_budgets(conn)
        self._compare_books(conn)
        assert {_place(slot): slot.owner for slot in conn.execute(select(tables.slots))} == self.model.slots
        for row in conn.execute(select(tables.outbox).order_by(tables.outbox.c.pk)):
            if row.pk not in self.seen:
                self.seen.add(row.pk)
                self.made[_letter(row.topic, row.partition, row.value, row.headers)] += 1
        assert self.made == self.model.letters

    def _compare_rows(self, conn: Connection) -> None:
        rows = {(row.tenant, row.id): row for row in conn.execute(select(tables.requests))}
        assert {key: _facts(row) for key, row in rows.items()} == {k: r.facts for k, r in self.model.rows.items()}
        standing = Counter((row.tenant, row.supersede_key) for row in rows.values() if row.superseded_by is None)
        assert all(count == 1 for (_, key), count in standing.items() if key), "two stand for one key"
        for row in rows.values():
            assert row.fence >= self.fences.get(row.identity, 0), "a fence went back"
            self.fences[row.identity] = row.fence
        pks = {row.pk: key for key, row in rows.items()}
        results = conn.execute(select(tables.results)).all()
        assert {(pks[r.request_pk], r.generation): r.status for r in results} == self.model.results
        assert len(results) == len(self.model.results)
        for key, row in rows.items():
            assert ((key, row.generation) in self.model.results) == (
                row.state in {"succeeded", "failed", "cancelled", "expired"}
            )
        kept = {rows_.identity(tenant, "summarize", id_) for tenant, id_ in self.model.cancels}
        assert set(conn.execute(select(tables.cancels.c.identity)).scalars()) == kept
        positions = conn.execute(select(tables.positions)).all()
        assert {(p.topic, p.partition, p.offset): p.decision for p in positions} == {
            at: decision for at, (decision, _, _) in self.model.decided.items()
        }

    def _compare_books(self, conn: Connection) -> None:
        calls = self.model.calls
        found = {c.id: (c.outcome, c.cost_nano) for c in conn.execute(select(tables.executions))}
        assert found == {id_: (call.outcome, call.cost) for id_, call in calls.items()}
        events = [call for call in calls.values() if call.event]
        days = conn.execute(select(tables.daily_costs)).all()
        assert sum(day.cost_nano for day in days) == sum(call.cost or 0 for call in events)
        assert sum(day.calls for day in days) == len(events)
        assert sum(day.unpriced_calls for day in days) == sum(call.cost is None for call in events)
        assert sum(conn.execute(select(tables.numbers.c.last)).scalars()) == len(events)
        for row in self.model.rows.values():
            paid = Counter(
                call.number
                for call in calls.values()
                if (call.key, call.generation) == (row.key, row.generation)
                and call.paid
                and not call.beside
                and call.outcome in {"ok", "wasted"}
            )
            twice = sum(paid.values()) - len(paid)
            assert twice <= row.ambiguous <= 1 + row.decided, "paid twice, and not counted as ambiguous"

    def _compare_budgets(self, conn: Connection) -> None:
        """What is reserved is what unfinished rows hold; what is spent is what the journal says; a hard limit holds, but for
        what calls have cost above what was feared.
        """
        ids = _budget_ids(conn)
        rows = conn.execute(select(tables.requests).where(tables.requests.c.completed_at.is_(None))).all()
        calls = conn.execute(select(tables.executions).where(tables.executions.c.outcome.is_not(None))).all()
        for id_, model in zip(ids, self.model.budgets.values(), strict=True):
            (found,) = budgets.standing(conn, id_)
            expected = (model.scope, model.limit, model.hard, model.spent, model.reserved, model.overrun)
            assert (
                found.scope,
                found.limit_nano,
                found.hard,
                found.spent_nano,
                found.reserved_nano,
                found.overrun_nano,
            ) == expected
            assert found.reserved_nano == sum(row.budget_nano or 0 for row in rows if id_ in unpack(row.budgets))
            booked = [call for call in calls if id_ in unpack(call.budgets) and call.closed_at >= found.made_at]
            assert found.spent_nano == sum(call.cost_nano or 0 for call in booked)
            if model.always_hard:
                assert found.spent_nano + found.reserved_nano <= model.peak + found.overrun_nano

    def teardown(self) -> None:
        """The relay comes to its end; what readers fold together is what the ledger says."""
        if not self.workers:
            return
        worker = self.workers[0].name
        for other in self.workers[1:]:
            self._bury(other)
        self.ledger.write(lambda conn: outgoing.lease_places(conn, worker))
        while found := self.ledger.read(lambda conn: outgoing.pending(conn, worker, 100, outgoing.ledger_id(conn))):
            self.published += found
            self.ledger.write(lambda conn, found=found: outgoing.mark(conn, [row.pk for row in found]))
        self._fold_results()
        self._fold_usage()

    def _fold_results(self) -> None:
        best: dict[tuple[str, str], tuple[int, str]] = {}
        for row in self.published:
            if row.topic == ROUTES.results:
                result = orjson.loads(row.value or b"")
                key = (result["tenant"], result["id"])
                best[key] = max(best.get(key, (0, "")), (result["generation"], result["status"]))
        for key, row in self.model.rows.items():
            if row.from_kafka and (key, row.generation) in self.model.results:
                assert best[key] == (row.generation, row.state)

    def _fold_usage(self) -> None:
        """As the table behind `genai.costs.daily` does: a number that was seen is dropped, and none is ever missing."""
        last: dict[int, int] = {}
        folded: dict[str, int] = {}
        for row in self.published:
            if row.topic == ROUTES.usage:
                number = int(dict(row.headers)["genai-number"])
                if number > last.get(row.partition, 0):
                    assert number == last.get(row.partition, 0) + 1, "a gap"
                    last[row.partition] = number
                    event = orjson.loads(row.value or b"")
                    assert event["id"] not in folded
                    folded[event["id"]] = from_usd(event["cost_usd"]) or 0
        days = self.ledger.read(queries.journal_days)
        assert sum(folded.values()) == sum(nano for _, nano in days.values())
        assert folded.keys() == {id_ for id_, call in self.model.calls.items() if call.event}


def _turns(conn: Connection) -> dict[tuple[str, str], Waiting]:
    """By tenant and id."""
    r = tables.requests.c
    return {
        (row[0], row[1]): Waiting(*row[2:])
        for row in conn.execute(select(r.tenant, r.id, r.due, r.pk, r.weight, r.accepted_at))
    }


def _budget_ids(conn: Connection) -> list[int]:
    """In the order of their names, which is the one in which they were made."""
    return list(conn.execute(select(tables.budgets.c.id).order_by(tables.budgets.c.id)).scalars())


def _facts(row: Any) -> tuple[Any, ...]:
    unfinished = row.completed_at is None
    return (
        row.state,
        row.generation,
        row.fence,
        row.owner,
        row.lane if unfinished else None,
        row.payload_hash,
        row.error_type,
        row.attempts,
        row.deaths_calling,
        row.deaths_leased,
        row.ambiguous,
        bool(row.cancel),
        row.not_before > 0,
        row.partition,
        row.pinned,
        row.idem is not None if row.state not in {"cancelled", "expired"} else None,  # it stands for no answer
        row.behind if unfinished else None,
        row.fingerprint if unfinished or row.state == "succeeded" else None,
        row.superseded_by is not None,
        row.key_id,
        (row.budget_nano or 0) if unfinished else 0,
        (POOLS.index((row.provider, row.model)), bool(row.paid), row.route, row.move_at is not None)
        if unfinished
        else None,
    )


def _letter(topic: str, where: int, value: bytes, headers: bytes) -> Letter:
    if topic == ROUTES.results:
        result = orjson.loads(value)
        key = (result["tenant"], result["id"])
        cached = result["cached"] and (result["cached"]["id"] or ELSEWHERE)
        facts = {"replayed": result["replayed"], "cached": cached}
        return results_letter(where, key, result["generation"], result["status"], **facts)
    if topic == ROUTES.usage:
        return usage_letter(orjson.loads(value)["id"])
    named = dict(outgoing.rows.unpack_headers(headers))
    key = (named["genai-tenant"].decode(), named["genai-id"].decode()) if "genai-id" in named else None
    return dead_letter(named["genai-error-type"].decode(), key)


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    ledger = Ledger(sqlite_url)
    yield ledger
    ledger.close()


@pytest.fixture
def postgres_ledger(postgres_database: str) -> Iterator[Ledger]:
    preparing = Ledger(postgres_database)
    preparing.write(forget_durability)
    preparing.close()
    ledger = Ledger(postgres_database)
    yield ledger
    ledger.close()


def _walk(ledger: Ledger, **how: Any) -> None:
    run_state_machine_as_test(
        functools.partial(StateTable, ledger),
        settings=settings(
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
            phases=(Phase.generate, Phase.shrink),  # to explain takes longer than to find
            **how,
        ),
    )


@pytest.mark.fast
def test_a_short_walk(sqlite_ledger: Ledger) -> None:
    _walk(sqlite_ledger, max_examples=12, stateful_step_count=30, derandomize=True)


def test_a_walk_on_sqlite(sqlite_ledger: Ledger) -> None:
    _walk(sqlite_ledger, max_examples=70, stateful_step_count=40)


@pytest.mark.postgres
def test_a_walk_on_postgres(postgres_ledger: Ledger) -> None:
    _walk(postgres_ledger, max_examples=35, stateful_step_count=40)
