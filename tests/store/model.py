"""The state table of the design, in plain Python: what the ledger must hold after each event.

It decides one record after the other and knows neither batches nor SQL; the machine in `test_state_table.py` holds the
ledger against it.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from store.ledger.types import Arrival, Ask, CancelAsk, Unreadable
from tests.store.ground import partition

Key = tuple[str, str]
"""(tenant, id)."""
Letter = tuple[Any, ...]
"""What one outbox row says; see `results_letter` and the others."""

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


def results_letter(where: int, key: Key, generation: int, status: str, *, replayed: bool = False) -> Letter:
    return ("result", where, *key, generation, status, replayed)


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
    supersede: str | None = None
    superseded: bool = False
    decided: int = 0
    """How often a human had it tried again."""

    @property
    def facts(self) -> tuple[Any, ...]:
        """What the ledger's row must say."""
        return (
            self.state,
            self.generation,
            self.fence,
            self.owner,
            self.lane,
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
            self.superseded,
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
        self.results: dict[tuple[Key, int], str] = {}
        self.calls: dict[str, Booked] = {}
        self.decided: dict[tuple[str, int, int], tuple[str, Key | None, int]] = {}
        self.places: dict[tuple[str, int], Place] = defaultdict(Place)
        self.cancels: set[Key] = set()
        self.run_cancels: set[tuple[str, str]] = set()
        self.slots: dict[int, str | None] = {}
        self.letters: Counter[Letter] = Counter()

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
        self.letters[results_letter(where, key, generation, self.results[key, generation], replayed=True)] += 1
        return "replayed"

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
            row = self.rows[key] = Row(key, len(self.rows), ask.payload_hash)
            return self._begin(arrival, ask, row, cancelled=key in self.cancels)
        binds = not (row.state == "failed" and row.error == "invalid_request")
        if row.hash != ask.payload_hash and binds:
            if arrival.position:
                self.letters[results_letter(arrival.position.partition, key, 0, "failed")] += 1
            return "conflict", 0
        if row.state not in TERMINAL:
            return "duplicate", row.generation
        if row.state == "succeeded" or row.superseded:
            if arrival.position:
                where = arrival.position.partition
                self.letters[results_letter(where, key, row.generation, row.state, replayed=True)] += 1
            return "replayed", row.generation
        anew = Row(key, row.order, ask.payload_hash, generation=row.generation + 1, fence=row.fence)
        self.rows[key] = anew
        return self._begin(arrival, ask, anew, cancelled=False)

    def _begin(self, arrival: Arrival, ask: Ask, row: Row, *, cancelled: bool) -> tuple[str, int]:
        row.lane, row.paid, row.on_ambiguous, row.run = ask.lane, ask.paid, ask.on_ambiguous, ask.run_id
        row.overdue, row.pinned = ask.deadline is not None, ask.pinned
        row.from_kafka = arrival.position is not None
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
        if ask.supersede_key is not None:
            row.supersede = ask.supersede_key
            self._supersede(row)
        if cancelled:
            self.end(row, "cancelled")
        return ("accepted" if row.generation == 1 else "again"), row.generation

    def _supersede(self, newer: Row) -> None:
        """Only one of a key stands; what has not begun ends, what runs goes on to its end."""
        for row in self.rows.values():
            same = (row.key[0], row.supersede) == (newer.key[0], newer.supersede)
            if same and row is not newer and not row.superseded:
                row.superseded = True
                if row.state in {"waiting", "leased", "held"}:
                    self.end(row, "cancelled")

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

    # ---- rows end and wait again

    def end(self, row: Row, status: str, error: str | None = None, *, dead: bool = False) -> None:
        row.state, row.owner, row.error = status, None, error
        assert (row.key, row.generation) not in self.results, "a second result"
        self.results[row.key, row.generation] = status
        self.letters[results_letter(row.where, row.key, row.generation, status)] += 1
        if dead and error:
            self.letters[dead_letter(error, row.key)] += 1

    def wait(self, row: Row, *, delayed: bool = False, ambiguous: int = 0) -> None:
        row.state, row.owner, row.delayed = "waiting", None, delayed
        row.ambiguous += ambiguous

    def hold(self, row: Row) -> None:
        row.state, row.owner, row.delayed = "held", None, False

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
            self.letters[usage_letter(call)] += 1

    # ---- claims

    def claim(self, worker: str, ready: Sequence[int]) -> tuple[list[Key], list[int]]:
        """Keys in the order in which they are leased, and the slots that their worker gets."""
        for row in self._waiting():
            if row.overdue:
                self.end(row, "expired")
        free = sorted(
            (number for number, owner in self.slots.items() if owner is None), key=lambda n: (not self.reserved(n), n)
        )
        chosen: list[Row] = []
        held = 0
        for lane in range(3):
            held += ready[lane]
            fits = [row for row in self._waiting() if row.lane == lane and not row.delayed]
            taken = fits[: max(0, len(free) + len(self.slots) - held)]
            held += len(taken)
            chosen += taken
        leased = []
        for row in chosen:
            if row.run is not None and (row.key[0], row.run) in self.run_cancels:
                self.end(row, "cancelled")
            else:
                row.state, row.owner, row.fence = "leased", worker, row.fence + 1
                leased.append(row)
        urgent = ready[0] + ready[1] + sum(row.lane < 2 for row in leased)
        batch = ready[2] + sum(row.lane == 2 for row in leased)
        return [row.key for row in leased], self._take(worker, free, urgent, batch)

    def reserved(self, number: int) -> bool:
        return number < len(self.slots) // 5

    def _take(self, worker: str, free: list[int], urgent: int, batch: int) -> list[int]:
        taken = []
        for number in free:
            if urgent:
                urgent -= 1
            elif batch and not self.reserved(number):
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
        for number, owner in self.slots.items():
            if owner == worker:
                self.slots[number] = None
        for row in sorted(self.rows.values(), key=lambda row: row.order):
            if row.owner == worker:
                self._orphan(row)

    def _orphan(self, row: Row) -> None:
        opened = self.open_calls(row)
        for call in opened:
            self.book(call, "wasted", self.calls[call].estimate if row.paid else 0, event=row.paid)
        if row.cancel or row.superseded:
            return self.end(row, "cancelled")
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
