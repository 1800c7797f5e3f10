"""Records come in: the first half of the state table, in one transaction for a whole batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from schemas.errors import ErrorType, Failure
from store import rows
from store.ledger import answers, columns, crowding, joining, leading, look, supersede
from store.ledger.budgeting import pack
from store.ledger.entries import Entries
from store.ledger.policy import Known, on_known
from store.ledger.purse import Purse
from store.ledger.types.arrivals import Accepted, Arrival, Ask, CancelAsk, Decision, Unreadable
from store.ledger.types.records import Position, Routes
from store.tables import cancels, run_cancels

CANCEL_KEPT_S = 86_400.0


_REDELIVERED = Accepted("redelivered")


def accept(conn: Connection, routes: Routes, arrivals: Sequence[Arrival], purse: Purse | None = None) -> list[Accepted]:
    """Decide about every arrival, in order; what is returned is committed with the transaction. `purse`: whoever gives one closes
    it.
    """
    own = purse or Purse(conn, None, arrivals)
    decided: list[Accepted] = []
    while len(decided) < len(arrivals):
        decided += _Batch(conn, routes, arrivals[len(decided) :], own).run()
    if purse is None:
        own.close()
    return decided


class _Batch:
    """One transaction's worth of arrivals: looked up together, decided one by one, written together."""

    def __init__(self, conn: Connection, routes: Routes, arrivals: Sequence[Arrival], purse: Purse) -> None:
        self.conn, self.routes, self.arrivals, self.purse = conn, routes, arrivals, purse
        begun = look.begin(conn, sum(1 for arrival in arrivals if isinstance(arrival.what, Ask)))
        self.at, self.pks, self.any_cancels = begun.at, iter(begun.pks), begun.cancels
        if any(isinstance(each.what, Ask) and each.what.estimate_nano != 0 for each in arrivals):
            purse.check(begun.budgets)
        self.entries = Entries(conn, routes, self.at)

    def run(self) -> list[Accepted]:
        """Decides as far as it can: what is behind a cancel that may matter to it, or behind the one that has replaced it, is
        for the next batch, which sees that done.
        """
        progress = look.places_of(self.conn, self.arrivals)
        live = [arrival for arrival in self.arrivals if not look.is_redelivered(progress, arrival)]
        past = look.decided_before(self.conn, live, progress)
        self._look(live, past)
        decided: list[Accepted] = []
        for arrival in self.arrivals:
            if (self.entries.cancelled or self.entries.superseded) and self._is_for_the_next(arrival):
                break
            decided.append(_REDELIVERED if look.is_redelivered(progress, arrival) else self._one(arrival, past))
            self._reach(arrival, progress)
        self.joins.write()
        self.entries.write(self.waiting_cancels)
        return decided

    def _is_for_the_next(self, arrival: Arrival) -> bool:
        ask = arrival.what
        if not isinstance(ask, Ask):
            return False
        key = _identity(ask)
        return key in self.entries.cancelled or key in self.entries.superseded or joining.joins(arrival, ask)

    def _reach(self, arrival: Arrival, progress: look.Places) -> None:
        """A position that stands twice in this batch (it was fetched again while the first waited) counts once."""
        p = arrival.position
        if p is not None and not look.is_redelivered(progress, arrival):
            progress[p.topic, p.partition]["next_offset"] = p.offset + 1
            self.entries.reached[p.topic, p.partition] = p

    def _look(self, live: Sequence[Arrival], past: dict[Position, Any]) -> None:
        """Everything that is known of the identities of this batch, locked."""
        identities = {
            _identity(a.what) for a in live if isinstance(a.what, Ask | CancelAsk) and getattr(a.what, "id", None)
        }
        self.known: dict[bytes, Known] = look.known(self.conn, identities)
        self.waiting_cancels = look.waiting_cancels(self.conn, identities) if self.any_cancels else set()
        self.stands = supersede.stands(self.conn, supersede.keys_of(live))
        replays = {
            known.pk for known in self.known.values() if known.state not in {"waiting", "leased", "calling", "held"}
        }
        replays |= {row.request_pk for row in past.values() if row.request_pk is not None}
        self.bodies_of = look.answers_of(self.conn, replays)
        self.crowds = crowding.counts(self.conn, live)
        self.joins = joining.Joins(self.conn, live, self.bodies_of, self.at)

    def _one(self, arrival: Arrival, past: dict[Position, Any]) -> Accepted:
        seen = past.get(arrival.position) if arrival.position is not None else None
        if seen is not None:
            return self._again_here(arrival, seen)
        match arrival.what:
            case Unreadable(failure):
                return self._unreadable(arrival, failure)
            case CancelAsk():
                return self._cancel(arrival, arrival.what)
            case ask:
                return self._ask(arrival, ask)

    def _again_here(self, arrival: Arrival, seen: Any) -> Accepted:
        """The same position, after the offsets were moved back: its result again, or nothing while it is unfinished."""
        ask = arrival.what
        if not isinstance(ask, Ask):
            return Accepted("redelivered")
        if seen.decision == "conflict":
            return self._conflict(arrival, ask, remember=False)
        body = self.bodies_of.get((seen.request_pk, seen.generation))
        known = self.known.get(_identity(ask))
        if body is None and known is not None and known.state == "succeeded":
            return self._expired_answer(arrival, ask, known.pk, known.generation, remember=False)
        if body is None:
            return Accepted("redelivered", seen.request_pk, seen.generation)
        return self._replay(arrival, ask, seen.request_pk, seen.generation, body, remember=False)

    def _ask(self, arrival: Arrival, ask: Ask) -> Accepted:
        key = _identity(ask)
        known = self.known.get(key)
        if known is None:
            return self._first(arrival, ask, key)
        match on_known(known, ask.payload_hash):
            case "conflict":
                return self._conflict(arrival, ask)
            case "duplicate":
                self.entries.remember(arrival, "duplicate", known.pk, known.generation)
                if known.alone:
                    self.entries.not_alone.add(known.pk)
                if known.quiet and not ask.quiet:
                    self.entries.loud.add(known.pk)
                return Accepted("duplicate", known.pk, known.generation)
            case "replayed":
                body = self.bodies_of.get((known.pk, known.generation))
                if body is None:
                    return self._expired_answer(arrival, ask, known.pk, known.generation)
                return self._replay(arrival, ask, known.pk, known.generation, body)
            case "again":
                return self._anew(arrival, ask, known)

    def _first(self, arrival: Arrival, ask: Ask, key: bytes) -> Accepted:
        if (refused := self._refused(arrival, ask, None)) is not None:
            return refused
        if not self._takes(ask):
            return Accepted("crowded")
        pk = next(self.pks)
        ids: tuple[int, ...] = ()
        if key not in self.waiting_cancels:
            ask, ids = self._within_budgets(arrival, ask, pk)
        state = "waiting" if ask.failure is None else "failed"
        row = {
            "pk": pk,
            "identity": key,
            "generation": 1,
            "fence": 0,
            **columns.of_arrival(arrival, ask, state, self.routes, self.at),
        }
        origin = None
        if key in self.waiting_cancels:
            self.entries.cancelled.add(key)
        elif ask.failure is None:
            origin = self.joins.place(arrival, ask, pk, row)
        self._hold(row, ask, ids)
        self.entries.new.append(row)
        self.known[key] = Known(pk, state, 1, 0, ask.payload_hash, row["error_type"], ask.alone, quiet=ask.quiet)
        self._supersede(ask, key)
        return self._taken(arrival, ask, pk, row, origin)

    def _anew(self, arrival: Arrival, ask: Ask, known: Known) -> Accepted:
        """Generation + 1: this is what redriving a dead letter is."""
        if (refused := self._refused(arrival, ask, known)) is not None:
            return refused
        if not self._takes(ask):
            return Accepted("crowded")
        self.joins.let_go(known.pk)
        if ask.failure is None:
            self._lead_again(ask, known)
        ask, ids = self._within_budgets(arrival, ask, known.pk)
        state = "waiting" if ask.failure is None else "failed"
        generation = known.generation + 1
        row = self._begun_anew(known.pk, generation, arrival, ask, state)
        origin = self.joins.place(arrival, ask, known.pk, row) if ask.failure is None else None
        self._hold(row, ask, ids)
        self.entries.anew.append(row)
        known.state, known.generation, known.payload_hash, known.error_type, known.alone = (
            state,
            generation,
            ask.payload_hash,
            row["error_type"],
            ask.alone,
        )
        known.quiet = ask.quiet
        self._supersede(ask, _identity(ask))
        return self._taken(arrival, ask, known.pk, row, origin)

    def _lead_again(self, ask: Ask, known: Known) -> None:
        """Whoever has its idempotency key, has failed, and was followed by it, is run again, and this one follows it anew. Not if that
        has no room of its own: then this one leads.
        """
        lead = self.joins.failed_leader(ask, known.follows)
        again = None if lead is None else leading.as_it_was_asked(self.conn, lead.pk, ask, self.at)
        if lead is None or again is None:
            return
        ids = self.purse.of_ask(again.ask)
        locked = set(ids) <= set(self.purse.of_ask(ask))  # no others are
        if not locked or not self.purse.has_room(ids, again.ask.estimate_nano) or not self._takes(again.ask):
            return
        self.purse.reserve(ids, again.ask.estimate_nano)
        generation = lead.generation + 1
        row = self._begun_anew(lead.pk, generation, again.arrival, again.ask, "waiting")
        self.joins.look_at_turn(joining.order_key(again.arrival, again.ask))
        self.joins.place(again.arrival, again.ask, lead.pk, row)
        self._hold(row, again.ask, ids)
        self.entries.anew.append(row)
        self.entries.stand_for(again.arrival.position, generation)
        if (other := self.known.get(again.identity)) is not None:
            other.state, other.generation, other.error_type, other.alone = "waiting", generation, None, False

    def _begun_anew(self, pk: int, generation: int, arrival: Arrival, ask: Ask, state: str) -> dict[str, Any]:
        """What changes of a row that was there before."""
        fresh = columns.of_arrival(arrival, ask, state, self.routes, self.at)
        return {"the_pk": pk, "generation": generation, **fresh}

    def _takes(self, ask: Ask) -> bool:
        return crowding.takes(self.crowds, ask)

    def _refused(self, arrival: Arrival, ask: Ask, known: Known | None) -> Accepted | None:
        """Its idempotency key stands for another payload, or for an answer that is no longer kept."""
        own = None if known is None else known.pk
        if ask.failure is None and self.joins.refuses(ask, own):
            return self._conflict(arrival, ask)
        lead = self.joins.is_pruned(ask, own) if ask.failure is None else None
        return None if lead is None else self._expired_answer(arrival, ask, lead.pk, lead.generation)

    def _within_budgets(self, arrival: Arrival, ask: Ask, pk: int) -> tuple[Ask, tuple[int, ...]]:
        """The same, and the budgets that hold what it may cost; or as one that they have no room for. What another one's answer
        will serve costs nothing.
        """
        ids = self.purse.of_ask(ask)
        if not ids or not self.joins.needs_call(arrival, ask, pk):
            return ask, ()
        failure = self.purse.reserve(ids, ask.estimate_nano)
        return (ask, ids) if failure is None else (replace(ask, failure=failure), ())

    def _hold(self, row: dict[str, Any], ask: Ask, ids: tuple[int, ...]) -> None:
        if ids:
            row["budgets"], row["budget_nano"] = pack(ids), ask.estimate_nano or 0

    def _supersede(self, ask: Ask, key: bytes) -> None:
        """This one stands for its key from now on, and for none that an earlier generation of it stood for."""
        for standing in self.stands.values():
            standing.pop(key, None)
        if ask.supersede_key is None or ask.failure is not None:
            return
        stands = self.stands[ask.tenant, ask.operation, ask.supersede_key]
        self.entries.superseded |= dict.fromkeys(stands.keys() - {key}, ask.id)
        stands.clear()
        stands[key] = ask.id

    def _taken(self, arrival: Arrival, ask: Ask, pk: int, row: dict[str, Any], origin: joining.Lead | None) -> Accepted:
        generation = row["generation"]
        self.entries.bodies.append({"request_pk": pk, "value": arrival.value or b"", "headers": arrival.headers})
        if origin is not None:
            return self._answered(arrival, ask, pk, row, origin)
        if ask.failure is None:
            decision = "accepted" if generation == 1 else "again"
            self.entries.remember(arrival, decision, pk, generation)
            return Accepted("accepted" if generation == 1 else "again", pk, generation)
        body = self._answer(arrival, ask, ask.failure, generation, pk)
        poor = ask.failure.type is ErrorType.BUDGET_EXCEEDED
        if ask.unreadable or (poor and arrival.position is not None and not answers.is_replay(ask.run_id)):
            self.entries.dead(arrival, ask.failure, {"genai-id": ask.id, "genai-tenant": ask.tenant})
        refused: Decision = "refused" if poor else "invalid"
        self.entries.remember(arrival, refused, pk, generation)
        return Accepted(refused, pk, generation, body)

    def _answered(self, arrival: Arrival, ask: Ask, pk: int, row: dict[str, Any], origin: joining.Lead) -> Accepted:
        """With an answer that the ledger has: that of its idempotency key, or of the very same question."""
        by_key = ask.idempotency_key is not None and row["idem"] is None
        generation, recorded = row["generation"], self.bodies_of[origin.pk, origin.generation]
        told = answers.told_of_arrival(arrival, ask, generation, self.at)
        body = answers.copied(recorded, told, origin.shown_to(ask.tenant), replayed=by_key)
        row.update(state="succeeded", completed_at=self.at, fingerprint=None, follows=origin.pk if by_key else None)
        self.known[_identity(ask)].state = "succeeded"
        self._keep(pk, generation, "succeeded", body)
        if not ask.quiet:
            where = row["partition"]
            self.entries.outbox.append(
                answers.to_results(self.routes, arrival.key, ask.id, where, body, arrival.headers, ask.run_id)
            )
        decision: Decision = "replayed" if by_key else "cached"
        self.entries.remember(arrival, decision, pk, generation)
        return Accepted(decision, pk, generation, body, saved_nano=answers.cost_of(recorded))

    def _keep(self, pk: int, generation: int, status: str, body: bytes) -> None:
        self.entries.keep(pk, generation, status, body)
        self.bodies_of[pk, generation] = body

    def _conflict(self, arrival: Arrival, ask: Ask, *, remember: bool = True) -> Accepted:
        known = self.known.get(_identity(ask))
        failure = answers.conflict(ask, by_id=known is not None and known.payload_hash != ask.payload_hash)
        body = self._answer(arrival, ask, failure, 0, None, again=not remember)
        if remember:
            self.entries.remember(arrival, "conflict", known.pk if known else None, 0)
        return Accepted("conflict", known.pk if known else None, 0, body)

    def _expired_answer(
        self, arrival: Arrival, ask: Ask, pk: int, generation: int, *, remember: bool = True
    ) -> Accepted:
        failure = Failure(
            type=ErrorType.RECORDED_ANSWER_EXPIRED,
            message=f"id {ask.id!r} was answered before and its answer is no longer kept; ask again under a new id",
        )
        body = self._answer(arrival, ask, failure, 0, None, again=not remember)
        if remember:
            self.entries.remember(arrival, "replayed", pk, generation)
        return Accepted("replayed", pk, 0, body)

    def _replay(
        self, arrival: Arrival, ask: Ask, pk: int, generation: int, body: bytes, *, remember: bool = True
    ) -> Accepted:
        again = answers.replayed(body, arrival, ask)
        self.entries.publish(arrival, ask, again)
        if remember:
            self.entries.remember(arrival, "replayed", pk, generation)
        return Accepted("replayed", pk, generation, again)

    def _unreadable(self, arrival: Arrival, failure: Failure) -> Accepted:
        self.entries.dead(arrival, failure, {})
        self.entries.remember(arrival, "unreadable", None, None)
        return Accepted("unreadable")

    def _cancel(self, arrival: Arrival, ask: CancelAsk) -> Accepted:
        self.entries.remember(arrival, "cancelled", None, None)
        if ask.run_id is not None:
            row = {"tenant": ask.tenant, "run_id": ask.run_id, "at": self.at}
            self.conn.execute(rows.upsert(self.conn, run_cancels).on_conflict_do_nothing(), row)
            return Accepted("cancelled")
        key = _identity(ask)
        known = self.known.get(key)
        if known is not None:
            self.entries.cancelled.add(key)
            return Accepted("cancelled", known.pk, known.generation, state=known.state)
        self.conn.execute(rows.upsert(self.conn, cancels).on_conflict_do_nothing(), {"identity": key, "at": self.at})
        self.waiting_cancels.add(key)
        return Accepted("cancelled")

    def _answer(
        self, arrival: Arrival, ask: Ask, failure: Failure, generation: int, pk: int | None, *, again: bool = False
    ) -> bytes:
        body = answers.at_once(arrival, ask, failure, generation, self.at).model_dump_json().encode()
        if again:
            body = answers.replayed(body, arrival, ask)
        if pk is not None:
            self._keep(pk, generation, "failed", body)
        self.entries.publish(arrival, ask, body)
        return body


def _identity(what: Any) -> bytes:
    return rows.identity(what.tenant, what.operation, what.id)
