"""The state table of the design, in plain Python: what the ledger must hold after each event.

It decides one record after the other and knows neither batches nor SQL; the machine in `test_state_table.py` holds the
ledger against it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ErrorType
from schemas.routes import Pinned, Tried
from store.ledger.behind import FLIGHT, KEY, ORDER
from store.ledger.budgeting import Scope
from store.ledger.order import Order, Pair, Queues, Waiting, plan
from store.ledger.parked import OWNER
from store.ledger.types.arrivals import Arrival, Ask, CancelAsk, Unreadable
from tests.store.ground import ELSEWHERE_POOL, POOL, partition

Key = tuple[str, str]
"""(tenant, id)."""
Letter = tuple[Any, ...]
"""What one outbox row says; see `results_letter` and the others."""

SLOTS = 5
POOLS = (POOL, ELSEWHERE_POOL)
"""A slot's key is its number, plus `SLOTS` for each pool before its own."""
ELSEWHERE = "another tenant's"
"""Instead of an id that is not to be shown."""
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


def results_letter(
    where: int, key: Key, generation: int, status: str, *, replayed: bool = False, cached: str | None = None
) -> Letter:
    """`cached`: the id of whom the answer was made for."""
    return ("result", where, *key, generation, status, replayed, cached)


def dead_letter(error: str, key: Key | None) -> Letter:
    return ("dead", error, key)


def usage_letter(call: str) -> Letter:
    return ("usage", call)


@dataclass
class Row:
    """One identity."""

    key: Key
    order: int
    hash: bytes
    state: str = "waiting"
    generation: int = 1
    fence: int = 0
    owner: str | None = None
    lane: int = 1
    paid: bool = False
    pool: int = 0
    """Of `POOLS`."""
    route: str | None = None
    waits: bool = False
    """It goes to the next target when it has waited long enough; here, at once."""
    on_ambiguous: str = "retry"
    overdue: bool = False
    run: str | None = None
    error: str | None = None
    attempts: int = 0
    deaths_calling: int = 0
    deaths_leased: int = 0
    ambiguous: int = 0
    cancel: bool = False
    delayed: bool = False
    where: int = 0
    from_kafka: bool = True
    pinned: str | None = None
    ordered: tuple[str, bytes] | None = None
    """What it has a turn in: tenant and key."""
    turn: int = 0
    idem: str | None = None
    leads: bool = False
    """Its idempotency key."""
    follows: Key | None = None
    at: tuple[str, int, int] | None = None
    """Where its generation came from."""
    behind: int = 0
    fingerprint: bytes | None = None
    ended_at: int = 0
    alone: bool = False
    caller: str | None = None
    """The process at which whoever it is alone for waits."""
    quiet: bool = False
    supersede: str | None = None
    superseded: bool = False
    decided: int = 0
    """How often a human had it tried again."""
    key_id: str | None = None
    budgets: tuple[str, ...] = ()
    """Under which it holds `hold` nano-dollars."""
    hold: int = 0

    @property
    def unfinished(self) -> bool:
        return self.state not in TERMINAL

    @property
    def facts(self) -> tuple[Any, ...]:
        """What the ledger's row must say."""
        return (
            self.state,
            self.generation,
            self.fence,
            self.owner,
            self.lane if self.unfinished else None,
            self.hash,
            self.error,
            self.attempts,
            self.deaths_calling,
            self.deaths_leased,
            self.ambiguous,
            self.cancel,
            self.delayed,
            self.where,
            self.pinned,
            self.leads if self.state not in {"cancelled", "expired"} else None,
            self.behind if self.unfinished else None,
            self.fingerprint if self.unfinished or self.state == "succeeded" else None,
            self.superseded,
            self.key_id,
            self.hold if self.unfinished else 0,
            (self.pool, self.paid, self.route, self.waits) if self.unfinished else None,
        )


@dataclass
class Purse:
    """A budget in total. `always_hard`: since it was made."""

    scope: Scope
    limit: int
    hard: bool
    always_hard: bool
    peak: int
    spent: int = 0
    reserved: int = 0
    overrun: int = 0
    removed: bool = False

    def concerns(self, row: "Row") -> bool:
        """By whose it is, and by the pool that it is in now."""
        provider, model = POOLS[row.pool]
        whose = (not self.scope.tenant or self.scope.tenant == row.key[0]) and not self.removed
        return (
            whose
            and (not self.scope.model or self.scope.model in {f"{provider}/{model}", f"{provider}/*"})
            and (not self.scope.key_id or self.scope.key_id == row.key_id)
            and (not self.scope.run_id or self.scope.run_id == row.run)
        )


@dataclass
class Booked:
    """One call of the journal."""

    key: Key
    generation: int
    number: int
    paid: bool
    estimate: int | None
    outcome: str | None = None
    cost: int | None = None
    event: bool = False
    budgets: tuple[str, ...] = ()
    beside: bool = False
    """Beside an open call of the same number, as its route allows."""


@dataclass
class Place:
    """One partition: what was written to it, and how far it was taken in."""

    log: list[Arrival] = field(default_factory=list)
    next_offset: int = 0
    committed: int = 0
    committed_seen: int = 0
    replay_until: int = 0


class Model:
    """Everything the ledger knows. `letters` collects what an event must put into the outbox; the machine empties it."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.buried: set[str] = set()
        self.results: dict[tuple[Key, int], str] = {}
        self.cached: dict[tuple[Key, int], str] = {}
        """Of results that were made for another request: its id."""
        self.calls: dict[str, Booked] = {}
        self.decided: dict[tuple[str, int, int], tuple[str, Key | None, int]] = {}
        self.places: dict[tuple[str, int], Place] = defaultdict(Place)
        self.cancels: set[Key] = set()
        self.run_cancels: set[tuple[str, str]] = set()
        self.slots: dict[int, str | None] = {}
        self.letters: Counter[Letter] = Counter()
        self.ends = 0
        self.budgets: dict[str, Purse] = {}
        self.loose: set[str] = set()
        """Calls that wait for a batch to go with."""
        self.moved: list[tuple[str, int, int, int]] = []
        """What was spent, reserved and overrun of which budget in this transaction; it is seen by the next one."""

    # ---- records come in

    def accept(self, arrival: Arrival) -> str:
        """The decision about one arrival, as the ledger must say it."""
        p = arrival.position
        if p is None:
            return self._decide(arrival, None)
        place = self.places[p.topic, p.partition]
        if p.offset < place.next_offset:
            return "redelivered"
        at = (p.topic, p.partition, p.offset)
        if at in self.decided and p.offset < place.replay_until:
            decision = self._decided_before(arrival, *self.decided[at])
        else:
            decision = self._decide(arrival, at)
        place.next_offset = p.offset + 1
        return decision

    def _decided_before(self, arrival: Arrival, decision: str, key: Key | None, generation: int) -> str:
        if not isinstance(arrival.what, Ask):
            return "redelivered"
        assert arrival.position and key
        where = arrival.position.partition
        if decision == "conflict":
            self.letters[results_letter(where, key, 0, "failed", replayed=True)] += 1
            return "conflict"
        if (key, generation) not in self.results:
            return "redelivered"
        self._replay(where, key, generation)
        return "replayed"

    def _replay(self, where: int, key: Key, generation: int) -> None:
        status, cached = self.results[key, generation], self.cached.get((key, generation))
        self.letters[results_letter(where, key, generation, status, replayed=True, cached=cached)] += 1

    def _decide(self, arrival: Arrival, at: tuple[str, int, int] | None) -> str:
        what = arrival.what
        decision, key, generation = "", None, 0
        if isinstance(what, Unreadable):
            decision = "unreadable"
            self.letters[dead_letter(what.failure.type, None)] += 1
        elif isinstance(what, CancelAsk):
            decision = "cancelled"
            self._cancel(what)
        else:
            key = (what.tenant, what.id)
            decision, generation = self._ask(arrival, what, key)
        if at is not None:
            self.decided[at] = (decision, key, generation)
        return decision

    def _ask(self, arrival: Arrival, ask: Ask, key: Key) -> tuple[str, int]:
        row = self.rows.get(key)
        if row is None:
            if self._stands_for_another(ask, None):
                return self._conflict(arrival, key)
            if self._is_crowded(ask):
                return "crowded", 0
            row = self.rows[key] = Row(key, len(self.rows), ask.payload_hash)
            return self._begin(arrival, ask, row, None, cancelled=key in self.cancels)
        binds = not (row.state == "failed" and row.error == "invalid_request")
        if row.hash != ask.payload_hash and binds:
            return self._conflict(arrival, key)
        if row.state not in TERMINAL:
            row.alone, row.quiet = False, row.quiet and ask.quiet
            return "duplicate", row.generation
        if row.superseded or (row.state == "succeeded" and row.hash == ask.payload_hash):
            if arrival.position:
                self._replay(arrival.position.partition, key, row.generation)
            return "replayed", row.generation
        if self._stands_for_another(ask, row):
            return self._conflict(arrival, key)
        if self._is_crowded(ask):
            return "crowded", 0
        anew = Row(key, row.order, ask.payload_hash, generation=row.generation + 1, fence=row.fence)
        self.rows[key] = anew
        return self._begin(arrival, ask, anew, row.follows, cancelled=False)

    def _is_crowded(self, ask: Ask) -> bool:
        """Its key has as many unfinished requests as it may; one that waits for a human takes no place."""
        here = [
            row for row in self.rows.values() if row.key_id == ask.key_id and row.unfinished and row.state != "held"
        ]
        return ask.failure is None and ask.most_at_once is not None and len(here) >= ask.most_at_once

    def _conflict(self, arrival: Arrival, key: Key) -> tuple[str, int]:
        if arrival.position:
            self.letters[results_letter(arrival.position.partition, key, 0, "failed")] += 1
        return "conflict", 0

    def _leader(self, ask: Ask) -> Row | None:
        """Of its idempotency key."""
        if ask.idempotency_key is None:
            return None
        own = (ask.tenant, ask.idempotency_key)
        return next((row for row in self.rows.values() if row.leads and (row.key[0], row.idem) == own), None)

    def _stands_for_another(self, ask: Ask, own: Row | None) -> bool:
        lead = None if ask.failure else self._leader(ask)
        if lead is None or lead is own or (lead.state == "failed" and lead.error == "invalid_request"):
            return False
        return lead.hash != ask.payload_hash

    def _begin(self, arrival: Arrival, ask: Ask, row: Row, followed: Key | None, *, cancelled: bool) -> tuple[str, int]:
        row.lane, row.paid, row.on_ambiguous, row.run = ask.lane, ask.paid, ask.on_ambiguous, ask.run_id
        row.alone, row.caller, row.key_id, row.quiet = ask.alone, ask.caller, ask.key_id, ask.quiet
        row.pool, row.route, row.waits = 0, ask.route, ask.wait_s is not None
        row.overdue, row.pinned = ask.deadline is not None, ask.pinned
        row.from_kafka = arrival.position is not None
        p = arrival.position
        row.at = None if p is None else (p.topic, p.partition, p.offset)
        row.where = arrival.position.partition if arrival.position else partition("", ask.id.encode())
        if cancelled:
            self.cancels.discard(row.key)
        if ask.failure is not None:
            row.state, row.error = "failed", ask.failure.type.value
            self.results[row.key, row.generation] = "failed"
            if arrival.position:
                self.letters[results_letter(row.where, row.key, row.generation, "failed")] += 1
            if ask.unreadable:
                self.letters[dead_letter(row.error, row.key)] += 1
            return "invalid", row.generation
        self._lead_again(ask, row, followed)
        if not cancelled and not self._funded(arrival, ask, row):
            row.state, row.error = "failed", "budget_exceeded"
            self.results[row.key, row.generation] = "failed"
            if arrival.position:
                self.letters[results_letter(row.where, row.key, row.generation, "failed")] += 1
                self.letters[dead_letter(row.error, row.key)] += 1
            return "refused", row.generation
        if ask.supersede_key is not None:
            row.supersede = ask.supersede_key
            self._supersede(row)
        if cancelled:
            self.end(row, "cancelled")
        elif answered := self._place(arrival, ask, row):
            return answered, row.generation
        return ("accepted" if row.generation == 1 else "again"), row.generation

    def _supersede(self, newer: Row) -> None:
        """Only one of a key stands; what has not begun ends, what runs goes on to its end."""
        for row in self.rows.values():
            same = (row.key[0], row.supersede) == (newer.key[0], newer.supersede)
            if same and row is not newer and not row.superseded:
                row.superseded = True
                if row.state in {"waiting", "leased", "held"}:
                    self.end(row, "cancelled")

    # ---- budgets

    def _funded(self, arrival: Arrival, ask: Ask, row: Row) -> bool:
        """Whether what it may cost is held now, or it costs nothing."""
        ids = () if ask.estimate_nano == 0 else self._concerning(row)
        if not ids or not self._needs_call(arrival, ask, row):
            return True
        if not self._reserve(ids, ask.estimate_nano, 0, ()):
            return False
        row.budgets, row.hold = ids, ask.estimate_nano or 0
        return True

    def _needs_call(self, arrival: Arrival, ask: Ask, row: Row) -> bool:
        row.fingerprint = ask.fingerprint
        row.ordered = (ask.tenant, arrival.key) if ask.ordered and arrival.key else None
        lead = self._leader(ask)
        if lead is not None and (lead.unfinished or lead.state == "succeeded"):
            return False
        if self._queue(row):
            return True
        flies = not row.ordered and ask.idempotency_key is None and ask.fresh_s
        return self._known_answer(ask) is None and not (flies and self._flight(row))

    def _concerning(self, row: Row) -> tuple[str, ...]:
        return tuple(name for name, budget in self.budgets.items() if budget.concerns(row))

    def _reserve(self, ids: Sequence[str], nano: int | None, held: int, under: Sequence[str]) -> bool:
        wanted = held if nano is None else nano
        more = {id_: max(0, wanted - (held if id_ in under else 0)) for id_ in ids}
        for id_ in ids:
            budget = self.budgets[id_]
            left = max(0, budget.limit - budget.spent - budget.reserved)
            if budget.hard and (nano is None or more[id_] > left):
                return False
        for id_ in ids:
            self.budgets[id_].reserved += more[id_]
        return True

    def call(self, row: Row, estimate: int | None) -> tuple[str, ...] | None:
        """The budgets that the call is counted under which begins now; None: one has no room for it."""
        ids = () if estimate == 0 else self._concerning(row)
        if not ids:
            return ()
        wanted = None if estimate is None else max(estimate, row.hold)
        if estimate is None or estimate > row.hold or ids != row.budgets:
            if not self._reserve(ids, wanted, row.hold, row.budgets):
                return None
            self.moved += [(id_, 0, -row.hold, 0) for id_ in row.budgets if id_ not in ids]
            row.hold = row.hold if wanted is None else wanted
            row.budgets = ids
        return ids

    def is_funded(self, key: Key) -> bool:
        """Whether its row holds what a first call of 1,000 may cost, under the very budgets that concern it now: so it is in the
        transaction that accepts it, the only one in which a first call opens early.
        """
        row = self.rows[key]
        return self._concerning(row) == row.budgets and (not row.budgets or row.hold >= 1_000)

    def settle(self, call: Booked) -> None:
        """It comes out of what its row holds, and what is above is an overrun."""
        row = self.rows[call.key]
        mine = row.unfinished and row.generation == call.generation
        cost = call.cost or 0
        taken = min(row.hold, cost) if mine and call.budgets else 0
        held = row.budgets if mine else ()
        self.moved += [(id_, cost, 0, cost - taken if id_ in held else cost) for id_ in call.budgets]
        self.moved += [(id_, 0, -taken, 0) for id_ in held]
        if mine:
            row.hold -= taken

    def commit(self) -> None:
        """Whoever looks now sees what was moved."""
        for id_, spent, reserved, overrun in self.moved:
            budget = self.budgets[id_]
            budget.spent += spent
            budget.reserved += reserved
            budget.overrun += overrun
        self.moved = []

    def set_budget(self, name: str, scope: Scope, limit: int, *, hard: bool) -> None:
        old = self.budgets.get(name)
        if old is not None and not old.removed:
            old.limit, old.hard, old.peak = limit, hard, max(limit, old.peak)
            old.always_hard &= hard
            return
        held = 0 if old is None else old.reserved  # of before it was removed, whatever its limit was then
        budget = Purse(scope, limit, hard, hard, peak=max(limit, held), reserved=held)
        self.budgets = dict(sorted({**self.budgets, name: budget}.items()))
        for call in self.calls.values():
            if call.outcome is None and budget.concerns(self.rows[call.key]) and name not in call.budgets:
                call.budgets = tuple(sorted((*call.budgets, name)))

    # ---- rows wait for rows

    def _place(self, arrival: Arrival, ask: Ask, row: Row) -> str | None:
        """What it waits for; or it has an answer at once: the decision then."""
        row.fingerprint, row.idem = ask.fingerprint, ask.idempotency_key
        row.ordered = (ask.tenant, arrival.key) if ask.ordered and arrival.key else None
        lead = self._leader(ask)
        if lead is not None and lead.state == "succeeded":
            self._copy(row, lead, "succeeded", replayed=True)
            row.follows = lead.key
            return "replayed"
        if lead is not None and lead.unfinished:
            self._follow(row, lead, KEY)
            return None
        if lead is not None:
            lead.leads, lead.follows = False, row.key
        row.leads = ask.idempotency_key is not None
        queue = self._queue(row)
        known = self._known_answer(ask) if not queue else None
        if known is not None:
            self._copy(row, known, "succeeded", replayed=False)
            return "cached"
        if row.ordered:
            self._take_turn(row)
        elif not row.leads and ask.fresh_s and (flight := self._flight(row)) is not None:
            self._follow(row, flight, FLIGHT)
        return None

    def _lead_again(self, ask: Ask, row: Row, followed: Key | None) -> None:
        """A follower is sent again that failed with its leader: that one is run again, as it was asked, if there is room for it."""
        old = self._leader(ask)
        if old is None or old.key != followed or old.state != "failed" or old.error == "invalid_request":
            return
        gone = old.superseded or old.overdue or (old.key[0], old.run) in self.run_cancels
        if gone or old.key_id != row.key_id or self._known_answer(ask) is not None:
            return
        new = Row(old.key, old.order, old.hash, generation=old.generation + 1, fence=old.fence)
        for name in (
            "lane",
            "on_ambiguous",
            "run",
            "key_id",
            "quiet",
            "supersede",
            "from_kafka",
            "where",
            "ordered",
            "at",
        ):
            setattr(new, name, getattr(old, name))
        new.paid, new.route, new.waits, new.pinned = ask.paid, ask.route, ask.wait_s is not None, ask.pinned
        new.fingerprint, new.idem, new.leads = ask.fingerprint, ask.idempotency_key, True
        ids = () if ask.estimate_nano == 0 else self._concerning(new)
        if not set(ids) <= set(self._concerning(row)) or self._is_crowded(ask):
            return
        if not self._reserve(ids, ask.estimate_nano, 0, ()):
            return
        new.budgets, new.hold = ids, (ask.estimate_nano or 0) if ids else 0
        self.rows[new.key] = new
        if new.at in self.decided:
            decision, key, _ = self.decided[new.at]
            self.decided[new.at] = (decision, key, new.generation)
        if new.ordered:
            self._take_turn(new)

    def _queue(self, row: Row) -> list[Row]:
        """Unfinished rows that have a turn in the same key, in their order."""
        if row.ordered is None:
            return []
        found = [each for each in self.rows.values() if each.unfinished and each.turn and each.ordered == row.ordered]
        return sorted((each for each in found if each is not row), key=lambda each: each.turn)

    def _take_turn(self, row: Row) -> None:
        queue = self._queue(row)
        row.turn = queue[-1].turn + 1 if queue else 1
        row.behind = ORDER if queue else 0

    def _known_answer(self, ask: Ask) -> Row | None:
        """Of the latest call with the same fingerprint."""
        if ask.fingerprint is None or not ask.fresh_s:
            return None
        found = [row for row in self.rows.values() if row.state == "succeeded" and row.fingerprint == ask.fingerprint]
        return max(found, key=lambda row: row.ended_at, default=None)

    def _flight(self, row: Row) -> Row | None:
        """The oldest one that asks for the very same and is on its way."""
        same = [each for each in self.rows.values() if each is not row and each.fingerprint == row.fingerprint]
        flying = [each for each in same if each.state in {"waiting", "leased", "calling"} and not each.behind]
        return min(flying, key=lambda each: each.order, default=None) if row.fingerprint else None

    def _follow(self, row: Row, lead: Row, kind: int) -> None:
        row.follows, row.behind = lead.key, kind
        if lead.state == "waiting":
            lead.lane = min(lead.lane, row.lane)

    def _copy(self, row: Row, lead: Row, status: str, *, replayed: bool) -> None:
        """The answer of another request; it serves nobody else."""
        self.ends += 1
        row.state, row.error, row.fingerprint, row.ended_at = status, lead.error, None, self.ends
        self.results[row.key, row.generation] = status
        cached = lead.key[1] if lead.key[0] == row.key[0] else ELSEWHERE
        self.cached[row.key, row.generation] = cached
        if not row.quiet:
            letter = results_letter(row.where, row.key, row.generation, status, replayed=replayed, cached=cached)
            self.letters[letter] += 1

    def _let_go(self, ended: Sequence[Row], *, dead: bool) -> None:
        """Who waits for rows that have just ended."""
        for row in ended:
            if row.turn and row.behind == 0 and (queue := self._queue(row)):
                queue[0].behind = 0
        for row in sorted(ended, key=lambda row: row.order):
            followers = [each for each in self.rows.values() if each.unfinished and each.follows == row.key]
            followers.sort(key=lambda each: each.order)
            by_key = [each for each in followers if each.behind == KEY]
            flying = [each for each in followers if each.behind == FLIGHT]
            if row.state == "succeeded":
                for each in followers:
                    self._copy(each, row, "succeeded", replayed=each.behind == KEY)
            elif row.state == "failed":
                for each in by_key:
                    self._copy(each, row, "failed", replayed=True)
                    if dead and row.error and not each.quiet:
                        self.letters[dead_letter(row.error, each.key)] += 1
                for each in flying:
                    self._lead(each, [])
            else:
                self._pass_on(row, by_key, flying)

    def _pass_on(self, row: Row, by_key: list[Row], flying: list[Row]) -> None:
        if by_key:
            with_it = [each for each in flying if each.fingerprint == by_key[0].fingerprint]
            flying = [each for each in flying if each not in with_it]
            row.leads, by_key[0].leads = False, True
            row.follows = by_key[0].key
            self._lead(by_key[0], [*by_key[1:], *with_it])
        if flying:
            self._lead(flying[0], flying[1:])

    def _lead(self, row: Row, others: list[Row]) -> None:
        row.follows, row.behind = None, 0
        row.lane = min(each.lane for each in (row, *others))
        for each in others:
            each.follows = row.key
        if row.ordered:
            self._take_turn(row)

    def _cancel(self, ask: CancelAsk) -> None:
        if ask.run_id is not None:
            self.run_cancels.add((ask.tenant, ask.run_id))
            return
        key = (ask.tenant, str(ask.id))
        row = self.rows.get(key)
        if row is None:
            self.cancels.add(key)
        elif row.state == "calling":
            row.cancel = True
        elif row.state not in TERMINAL:
            self.end(row, "cancelled")

    def leave(self, row: Row) -> bool:
        """Its HTTP caller has gone. Whether its holder has a call to abort."""
        followed = any(each.unfinished and each.follows == row.key for each in self.rows.values())
        if not row.alone or not row.unfinished or followed:
            return False
        if row.state == "calling":
            row.cancel = True
            return True
        self.end(row, "cancelled")
        return False

    # ---- rows end and wait again

    def end(self, row: Row, status: str, error: str | None = None, *, dead: bool = False) -> None:
        self.end_all([row], status, error, dead=dead)

    def end_all(self, ended: Sequence[Row], status: str, error: str | None = None, *, dead: bool = False) -> None:
        """Together: none of them waits for another one's end."""
        for row in ended:
            self.moved += [(id_, 0, -row.hold, 0) for id_ in row.budgets]
            row.hold = 0
            self.ends += 1
            row.state, row.owner, row.error, row.ended_at = status, None, error, self.ends
            assert (row.key, row.generation) not in self.results, "a second result"
            self.results[row.key, row.generation] = status
            if row.quiet:
                continue
            self.letters[results_letter(row.where, row.key, row.generation, status)] += 1
            if dead and error:
                self.letters[dead_letter(error, row.key)] += 1
        self._let_go(ended, dead=dead)

    def wait(self, row: Row, *, delayed: bool = False, ambiguous: int = 0) -> None:
        row.state, row.owner, row.delayed = "waiting", None, delayed
        row.ambiguous += ambiguous

    def park(self, row: Row, attempts: int) -> None:
        """In a provider's batch: nobody's death takes it away, and no claim finds it."""
        row.state, row.owner, row.attempts = "calling", OWNER, attempts

    def call_off(self) -> int:
        """Rows in batches that were cancelled end; what was surely not handed over costs nothing."""
        off = [
            row
            for row in self.rows.values()
            if row.owner == OWNER and (row.cancel or (row.key[0], row.run) in self.run_cancels)
        ]
        for row in off:
            for id_ in self.open_calls(row):
                if id_ in self.loose:
                    self.book(id_, "error", 0, event=False)
        self.end_all(sorted(off, key=lambda row: row.order), "cancelled")
        return len(off)

    def hold(self, row: Row) -> None:
        row.state, row.owner, row.delayed = "held", None, False
        self.part(row)  # they wait for no human

    def move(self, row: Row, route: str, *, paid: bool, ambiguous: bool) -> None:
        """To the other pool; its answer is nobody else's any more."""
        self.wait(row, ambiguous=int(ambiguous))
        row.pool, row.paid, row.route, row.fingerprint, row.waits = 1 - row.pool, paid, route, None, False

    def go_on(self) -> int:
        """Whoever has waited long enough for a model goes to the next one; who was called here has not only waited."""
        due = [row for row in self._waiting() if row.waits and not row.behind]
        moving = []
        for row in due:
            row.waits = False
            pinned = Pinned.model_validate_json(row.route or "")
            if pinned.left and row.attempts == pinned.since:
                moving.append(row)
                tried = Tried(target="/".join(POOLS[row.pool]), error=ErrorType.OVERLOADED, waited=True)
                kept = pinned.model_copy(update={"left": pinned.left[1:], "tried": [tried]})
                self.move(row, kept.model_dump_json(exclude_defaults=True), paid=pinned.left[0].paid, ambiguous=False)
        for row in moving:
            self.part(row)
        return len(moving)

    def part(self, row: Row) -> None:
        """Who only asks the same goes on without it."""
        flying = [each for each in self.rows.values() if each.unfinished and each.follows == row.key]
        flying = sorted((each for each in flying if each.behind == FLIGHT), key=lambda each: each.order)
        if flying:
            self._lead(flying[0], flying[1:])

    def decide(self, row: Row, *, again: bool) -> None:
        """A human's word about a held row."""
        if again:
            row.decided += 1
            self.wait(row, ambiguous=1)
        else:
            self.end(row, "failed", "ambiguous")

    def book(self, call: str, outcome: str, cost: int | None, *, event: bool) -> None:
        """A call is booked once: its first closing stands."""
        booked = self.calls[call]
        if booked.outcome is not None:
            return
        booked.outcome, booked.cost, booked.event = outcome, cost, event
        if event:
            self.settle(booked)
            self.letters[usage_letter(call)] += 1

    # ---- claims

    def claim(
        self, worker: str, held: Queues, waiting: Mapping[Key, Waiting], pool: int = 0
    ) -> tuple[list[Key], list[int]]:
        """Keys in the order in which they are leased, and the slots that their worker gets. `waiting`: what the turn of
        each row depends on, which is not the model's to say.
        """
        self.end_all([row for row in self._waiting() if row.overdue], "expired")
        free = sorted(
            (number for number, owner in self.slots.items() if owner is None and number // SLOTS == pool),
            key=lambda n: (not self.reserved(n), n),
        )
        ready_rows = [row for row in self._waiting() if not row.delayed and not row.behind and row.pool == pool]
        fits = {waiting[row.key].pk: row for row in ready_rows}
        found = [(Pair(row.lane, row.key[0]), waiting[row.key]) for row in fits.values()]
        planned = plan(Order(), held, found, len(free) + SLOTS, 0.0, ())
        ready = held.counts()
        lent = not ready[0] and all(row.lane for row in self.rows.values() if row.pool == pool)
        chosen = [fits[pk] for pk in planned.pks]
        leased = []
        self.end_all([row for row in chosen if (row.key[0], row.run) in self.run_cancels], "cancelled")
        for row in chosen:
            if row.unfinished:
                row.state, row.owner, row.fence = "leased", worker, row.fence + 1
                leased.append(row)
        urgent = ready[0] + ready[1] + sum(row.lane < 2 for row in leased)
        batch = ready[2] + sum(row.lane == 2 for row in leased)
        return [row.key for row in leased], self._take(worker, free, urgent, batch, lent=lent)

    def reserved(self, number: int) -> bool:
        return number % SLOTS < SLOTS // 5

    def _take(self, worker: str, free: list[int], urgent: int, batch: int, *, lent: bool) -> list[int]:
        taken = []
        for number in free:
            if urgent:
                urgent -= 1
            elif batch and (lent or not self.reserved(number)):
                batch -= 1
            else:
                continue
            self.slots[number] = worker
            taken.append(number)
        return taken

    def _waiting(self) -> list[Row]:
        return sorted((row for row in self.rows.values() if row.state == "waiting"), key=lambda row: row.order)

    # ---- death

    def bury(self, worker: str) -> None:
        """Whose caller waited there has left; what of that runs elsewhere is told to stop."""
        for number, owner in self.slots.items():
            if owner == worker:
                self.slots[number] = None
        self.buried.add(worker)
        here = sorted(self.rows.values(), key=lambda row: row.order)
        left, orphans = [row for row in here if self._is_left(row)], [row for row in here if row.owner == worker]
        opened = {row.key: self.open_calls(row) for row in orphans}
        for row in orphans:
            for call in opened[row.key]:
                self.book(call, "wasted", self.calls[call].estimate if row.paid else 0, event=row.paid)
        elsewhere = [row for row in left if row.state == "calling" and row not in orphans]
        for row in elsewhere:
            row.cancel = True
        off = [row for row in orphans if row.cancel or row.superseded]
        self.end_all([row for row in here if row in off or (row in left and row not in elsewhere)], "cancelled")
        for row in orphans:
            if row.unfinished:
                self._orphan(row, opened[row.key])

    def _is_left(self, row: Row) -> bool:
        followed = [each for each in self.rows.values() if each.unfinished and each.follows == row.key]
        return row.unfinished and self._has_left(row) and all(map(self._has_left, followed))

    def _has_left(self, row: Row) -> bool:
        return row.alone and row.caller in self.buried

    def _orphan(self, row: Row, opened: Sequence[str]) -> None:
        calling = row.state == "calling"
        deaths = (row.deaths_calling + calling, row.deaths_leased + (not calling))
        if deaths[0] >= 2 or deaths[1] >= 5:
            return self.end(row, "failed", "poison", dead=True)
        may_be_paid = calling and bool(opened) and row.paid
        asks = may_be_paid and row.on_ambiguous == "hold"
        if may_be_paid and not asks and (row.on_ambiguous != "retry" or row.ambiguous):
            return self.end(row, "failed", "ambiguous", dead=True)
        row.deaths_calling, row.deaths_leased = deaths
        if asks:
            return self.hold(row)
        return self.wait(row, ambiguous=int(may_be_paid))

    def open_calls(self, row: Row) -> list[str]:
        return [
            id_
            for id_, call in self.calls.items()
            if (call.key, call.generation) == (row.key, row.generation) and call.outcome is None
        ]
