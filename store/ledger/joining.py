"""What a record that is accepted must wait for, or is answered by at once: its turn, its idempotency key, an answer that
the ledger has.

Looked up for a whole batch together, and only where the batch holds such records; then decided one by one, so that the
records of one batch see each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, select, update

from schemas.errors import ErrorType
from schemas.result import Cached
from store import rows
from store.ledger import answers, behind, look
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.steps import UNFINISHED
from store.quick import quick
from store.tables import FLYING, HEAD, IDEM, LIVE, requests

_R = requests.c
_LEADERS = (
    select(requests).where(IDEM, _R.idem.in_(bindparam("keys", expanding=True))).order_by(_R.pk).with_for_update()
)
_LED = select(_R.idem).where(IDEM, _R.idem.in_(bindparam("keys", expanding=True)))
_LIVE = select(requests).where(LIVE, _R.fingerprint.in_(bindparam("prints", expanding=True))).order_by(_R.pk)
_FLIGHTS = select(requests).where(_R.pk.in_(bindparam("pks", expanding=True))).order_by(_R.pk).with_for_update()
_GIVE_UP = update(requests).where(_R.pk == bindparam("the_pk")).values(idem=None, follows=bindparam("the_lead"))
_JOINED = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"))
    .values(
        followers=_R.followers + bindparam("the_more"),
        lane=case(((_R.state == "waiting") & (_R.lane > bindparam("the_lane")), bindparam("the_lane")), else_=_R.lane),
    )
)


quick(_LEADERS, _LED, _LIVE, _FLIGHTS, _JOINED)


@dataclass(slots=True)
class Lead:
    """A row that others may follow, or whose answer they may get. `row`: its columns, while they are not written yet."""

    pk: int
    tenant: str
    id: str
    state: str
    generation: int
    payload_hash: bytes
    error_type: str | None
    completed_at: float | None
    followers: int
    row: dict[str, Any] | None = None

    @property
    def binds(self) -> bool:
        """Whether its key stands for its payload: one that was found invalid binds nothing."""
        return self.state in UNFINISHED or self.error_type != ErrorType.INVALID_REQUEST

    def shown_to(self, tenant: str) -> Cached:
        """As the origin of an answer."""
        return answers.origin(self.id if self.tenant == tenant else None, self.generation, self.completed_at)


_LEAD = ("pk", "tenant", "id", "state", "generation", "payload_hash", "error_type", "completed_at", "followers")


def _lead(row: Any) -> Lead:
    return Lead(*(getattr(row, name) for name in _LEAD))


class Joins:
    """Of one batch. `recorded`: results by row and generation; whatever is looked up here is added."""

    def __init__(
        self, conn: Connection, arrivals: Iterable[Arrival], recorded: dict[tuple[int, int], bytes], at: float
    ) -> None:
        self.conn, self.answers, self.at = conn, recorded, at
        wanted = asked(arrivals)
        self.leaders = self._leaders(wanted.idems) if wanted.idems else {}
        self.flights: dict[bytes, Lead] = {}
        self.recorded: dict[bytes, Lead] = {}
        if wanted.prints:
            self._look_for_answers(wanted.prints)
        self.turns = behind.turns(conn, wanted.turns)
        self.given_up: list[dict[str, int | None]] = []
        self.joined: list[dict[str, int]] = []
        ended = {lead.pk for lead in (*self.leaders.values(), *self.recorded.values()) if lead.state == "succeeded"}
        recorded.update(look.answers_of(conn, ended))

    def _leaders(self, idems: set[bytes]) -> dict[bytes, Lead]:
        """Of each key that has one, locked; a lead that passes on this very moment is looked for again."""
        found: dict[bytes, Lead] = {}
        left = idems
        while left:
            asked = {"keys": rows.padded(sorted(left))}
            found |= {bytes(row.idem): _lead(row) for row in self.conn.execute(_LEADERS, asked)}
            left = {bytes(key) for key in self.conn.execute(_LED, asked).scalars()} - found.keys()
        return found

    def _look_for_answers(self, prints: set[bytes]) -> None:
        """What is unfinished is read again under a lock; what is there already needs none."""
        found = self.conn.execute(_LIVE, {"prints": rows.padded(sorted(prints))}).all()
        flying = [row.pk for row in found if row.state in _FLIES]
        if flying:
            again = {row.pk: row for row in self.conn.execute(_FLIGHTS, {"pks": rows.padded(flying)})}
            found = [again.get(row.pk, row) for row in found]
        for row in found:
            if row.fingerprint is None:
                continue
            lead, key = _lead(row), bytes(row.fingerprint)
            if lead.state == "succeeded":
                known = self.recorded.get(key)
                if known is None or (known.completed_at or 0) < (lead.completed_at or 0):
                    self.recorded[key] = lead
            elif _may_be_followed(lead):
                self.flights.setdefault(key, lead)

    def refuses(self, ask: Ask, own: int | None) -> bool:
        """Whether its idempotency key stands for another payload; `own`: the row of its identity, if there is one."""
        lead = self._leader(ask)
        return lead is not None and lead.pk != own and lead.binds and lead.payload_hash != ask.payload_hash

    def is_pruned(self, ask: Ask, own: int | None) -> Lead | None:
        """The row that has answered this idempotency key, if its answer is no longer kept."""
        lead = self._leader(ask)
        if lead is None or lead.pk == own or lead.state != "succeeded":
            return None
        return None if (lead.pk, lead.generation) in self.answers else lead

    def _leader(self, ask: Ask) -> Lead | None:
        key = idem(ask)
        return None if key is None else self.leaders.get(key)

    def let_go(self, pk: int) -> None:
        """A row that begins anew stands for no key, until it says so again; another one of this batch may take it before."""
        if any(lead.pk == pk for lead in self.leaders.values()):
            self.given_up.append({"the_pk": pk, "the_lead": None})
        self.leaders = {key: lead for key, lead in self.leaders.items() if lead.pk != pk}

    def failed_leader(self, ask: Ask, followed: int | None) -> Lead | None:
        """The row that has the key of this one, which has `followed` it, has failed, and must be run again for an answer: nothing
        else has one.
        """
        lead = self._leader(ask)
        if lead is None or lead.pk != followed or lead.state != "failed" or not lead.binds:
            return None
        return lead if self._known_answer(ask) is None else None

    def look_at_turn(self, turn: bytes | None) -> None:
        """Of a row that did not come by itself."""
        if turn is not None and turn not in self.turns:
            self.turns |= behind.turns(self.conn, {turn})

    def needs_call(self, arrival: Arrival, ask: Ask, pk: int) -> bool:
        """Whether `place` will leave it to a call of its own: no answer is known, and no other one's will be its own."""
        key, turn = idem(ask), order_key(arrival, ask)
        lead = self.leaders.get(key) if key is not None else None
        if lead is not None and lead.pk != pk and (lead.state == "succeeded" or lead.state in UNFINISHED):
            return False
        if turn is not None and self.turns.get(turn) is not None:
            return True
        if self._known_answer(ask) is not None:
            return False
        flight = self.flights.get(ask.fingerprint) if ask.fingerprint is not None else None
        flies = ask.fresh_s > 0 and turn is None and key is None
        return not (flies and flight is not None and flight.pk != pk and _may_be_followed(flight))

    def place(self, arrival: Arrival, ask: Ask, pk: int, row: dict[str, Any]) -> Lead | None:
        """Write into a new row what it waits for. A lead: nothing, its recorded answer is this one's too."""
        row["fingerprint"] = ask.fingerprint
        own = Lead(pk=pk, **{name: row[name] for name in _LEAD[1:]}, row=row)
        key = idem(ask)
        if key is not None:
            lead = self.leaders.get(key)
            if lead is not None and lead.pk != pk:
                if lead.state == "succeeded":
                    return lead
                if lead.state in UNFINISHED:
                    self._follow(row, lead, behind.KEY)
                    return None
                self.given_up.append({"the_pk": lead.pk, "the_lead": pk})
            row["idem"] = key
            self.leaders[key] = own
        return self._take_turn(arrival, ask, own, row)

    def _take_turn(self, arrival: Arrival, ask: Ask, own: Lead, row: dict[str, Any]) -> Lead | None:
        """Behind the others of its key; as the first one it may have an answer at once."""
        turn = order_key(arrival, ask)
        last = self.turns.get(turn) if turn is not None else None
        if last is None and (found := self._known_answer(ask)) is not None:
            own.state = "succeeded"
            return found
        if turn is not None:
            row["order_key"], row["turn"] = turn, (last or 0) + 1
            row["behind"] = behind.NONE if last is None else behind.ORDER
            self.turns[turn] = row["turn"]
        self._fly(ask, own, row)
        return None

    def _known_answer(self, ask: Ask) -> Lead | None:
        """One that is fresh enough and still kept."""
        found = self.recorded.get(ask.fingerprint) if ask.fingerprint is not None else None
        if found is None or (found.completed_at or 0) <= self.at - ask.fresh_s:
            return None
        return found if (found.pk, found.generation) in self.answers else None

    def _fly(self, ask: Ask, own: Lead, row: dict[str, Any]) -> None:
        """With the one that asks the very same and is unfinished, unless it has a turn or a key of its own; else others may
        fly with this one.
        """
        if ask.fingerprint is None or row["behind"] != behind.NONE:
            return
        lead = self.flights.get(ask.fingerprint)
        flies = ask.fresh_s > 0 and row["order_key"] is None and row["idem"] is None
        if flies and lead is not None and lead.pk != own.pk and _may_be_followed(lead):
            self._follow(row, lead, behind.FLIGHT)
        elif lead is None or not _may_be_followed(lead) or own.pk < lead.pk:
            self.flights[ask.fingerprint] = own

    def _follow(self, row: dict[str, Any], lead: Lead, kind: int) -> None:
        """It lifts a lead that waits in a worse lane into its own."""
        row["follows"], row["behind"] = lead.pk, kind
        lead.followers += 1
        if lead.row is None:
            self.joined.append({"the_pk": lead.pk, "the_more": 1, "the_lane": row["lane"]})
        else:
            lead.row["followers"] = lead.followers
            lead.row["lane"] = min(lead.row["lane"], row["lane"])

    def write(self) -> None:
        """What changes of rows that were there before; in front of the new ones, of which one may take a lead over."""
        rows.many(self.conn, _GIVE_UP, sorted(self.given_up, key=lambda change: change["the_pk"]))
        rows.many(self.conn, _JOINED, sorted(self.joined, key=lambda change: change["the_pk"]))


_FLIES = frozenset({"waiting", "leased", "calling"})


def _may_be_followed(lead: Lead) -> bool:
    return lead.state in _FLIES and lead.followers < behind.MAX_FOLLOWERS


def joins(arrival: Arrival, ask: Ask) -> bool:
    """Whether other rows can matter to it."""
    return ask.fresh_s > 0 or ask.idempotency_key is not None or order_key(arrival, ask) is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the records of a batch may wait for."""

    turns: set[bytes]
    idems: set[bytes]
    prints: set[bytes]


def asked(arrivals: Iterable[Arrival]) -> Asked:
    """Of valid requests."""
    found = Asked(set(), set(), set())
    for arrival in arrivals:
        ask = arrival.what
        if isinstance(ask, Ask) and ask.failure is None:
            found.turns.update(filter(None, [order_key(arrival, ask)]))
            found.idems.update(filter(None, [idem(ask)]))
            found.prints.update(filter(None, [ask.fingerprint if ask.fresh_s > 0 else None]))
    return found


def rows_waited_for(arrivals: Iterable[Arrival], *, flights: bool) -> list[Any]:
    """Conditions for the rows that `Joins` will lock: those that lead, and those that are first in their key."""
    found = asked(arrivals)
    kinds = (
        (HEAD, _R.order_key, found.turns),
        (IDEM, _R.idem, found.idems),
        (FLYING, _R.fingerprint, found.prints if flights else ()),
    )
    return [and_(words, column.in_(rows.padded(sorted(keys)))) for words, column, keys in kinds if keys]


def order_key(arrival: Arrival, ask: Ask) -> bytes | None:
    """What its turn is in."""
    return behind.order_key(ask.tenant, ask.operation, arrival.key, ordered=ask.ordered)


def idem(ask: Ask) -> bytes | None:
    """What an idempotency key is known by: per tenant and operation."""
    return None if ask.idempotency_key is None else rows.identity(ask.tenant, ask.operation, ask.idempotency_key)
