"""What a batch of arrivals enters into the ledger: collected while it is decided, and written together."""

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, update

from schemas.errors import Failure
from store import rows
from store.ledger import answers, supersede
from store.ledger.end import cancel_rows
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.records import Position, Routes
from store.quick import quick
from store.tables import bodies, cancels, intake_progress, outbox, positions, requests, results

_R = requests.c
_P = intake_progress.c
_ANEW = update(requests).where(_R.pk == bindparam("the_pk"))
_NOT_ALONE = update(requests).where(_R.pk.in_(bindparam("pks", expanding=True))).values(alone=False)
_LOUD = update(requests).where(_R.pk.in_(bindparam("pks", expanding=True))).values(quiet=False)
_NEW, _NEW_BODY, _NEW_RESULT, _PUBLISH = insert(requests), insert(bodies), insert(results), insert(outbox)
_REMEMBER = rows.upserting(positions, lambda statement: statement.on_conflict_do_nothing())
_PROGRESS = (
    update(intake_progress)
    .where(_P.topic == bindparam("the_topic"), _P.partition == bindparam("the_partition"))
    .values(next_offset=bindparam("the_next"), last_timestamp=bindparam("the_timestamp"))
)
_T = positions.c
_STAND_FOR = (
    update(positions)
    .where(
        _T.topic == bindparam("the_topic"),
        _T.partition == bindparam("the_partition"),
        _T.offset == bindparam("the_offset"),
        _T.timestamp == bindparam("the_timestamp"),
    )
    .values(generation=bindparam("the_generation"))
)
_DROP_BODY = delete(bodies).where(bodies.c.request_pk == bindparam("old"))
quick(_DROP_BODY, _ANEW, _NOT_ALONE, _NEW, _NEW_BODY, _NEW_RESULT, _PUBLISH, _PROGRESS)


class Entries:
    """Of one batch, decided at `at`: rows, answers, letters, and the positions that are remembered."""

    def __init__(self, conn: Connection, routes: Routes, at: float) -> None:
        self.conn, self.routes, self.at = conn, routes, at
        self.new: list[dict[str, Any]] = []
        self.anew: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.outbox: list[answers.OutRow] = []
        self.positions: list[dict[str, Any]] = []
        self.repositioned: list[dict[str, Any]] = []
        self.cancelled: set[bytes] = set()
        self.not_alone: set[int] = set()
        self.loud: set[int] = set()
        """Quiet rows of which somebody else wants the answer too."""
        self.superseded: dict[bytes, str] = {}
        """Identities that a newer request of this batch replaces, and its id."""
        self.reached: dict[tuple[str, int], Position] = {}

    def keep(self, pk: int, generation: int, status: str, body: bytes) -> None:
        """The result of a row that is answered as it comes."""
        self.results.append(
            {"request_pk": pk, "generation": generation, "status": status, "body": body, "completed_at": self.at}
        )

    def publish(self, arrival: Arrival, ask: Ask, body: bytes) -> None:
        """An answer, to where its request came from."""
        if arrival.position is not None:  # who asked over HTTP gets the answer there; the topic has it once already
            where = arrival.position.partition
            self.outbox.append(answers.to_results(self.routes, arrival.key, ask.id, where, body, arrival.headers))

    def dead(self, arrival: Arrival, failure: Failure, identity: dict[str, str]) -> None:
        """The dead letter of an arrival that is not run."""
        p = arrival.position
        self.outbox.append(
            answers.to_dlq(
                self.routes,
                key=arrival.key,
                value=arrival.value,
                headers=arrival.headers,
                failure=failure,
                source=f"{p.topic}/{p.partition}/{p.offset}" if p else "http/0/0",
                attempts=0,
                identity=identity,
            )
        )

    def remember(self, arrival: Arrival, decision: str, pk: int | None, generation: int | None) -> None:
        """What was decided of a position; one over HTTP has none."""
        p = arrival.position
        if p is not None:
            self.positions.append(
                {
                    "topic": p.topic,
                    "partition": p.partition,
                    "offset": p.offset,
                    "timestamp": p.timestamp,
                    "request_pk": pk,
                    "generation": generation,
                    "decision": decision,
                }
            )

    def stand_for(self, position: Position | None, generation: int) -> None:
        """A position that was decided before stands for a newer generation of its request."""
        if position is not None:
            self.repositioned.append(
                {
                    "the_topic": position.topic,
                    "the_partition": position.partition,
                    "the_offset": position.offset,
                    "the_timestamp": position.timestamp,
                    "the_generation": generation,
                }
            )

    def write(self, waiting_cancels: set[bytes]) -> None:
        """All of it. `waiting_cancels`: cancels that came before their requests, of which some have met them now."""
        conn = self.conn
        # in one order everywhere: two writers that bring the same new identities never wait for each other in a ring
        rows.many(conn, _NEW, sorted(self.new, key=lambda row: bytes(row["identity"])))
        rows.many(conn, _ANEW, self.anew)
        latest = {row["request_pk"]: row for row in self.bodies}
        old = {row["the_pk"] for row in self.anew}
        rows.many(conn, _DROP_BODY, [{"old": pk} for pk in sorted(old & latest.keys())])
        rows.many(conn, _NEW_BODY, latest.values())
        rows.many(conn, _NEW_RESULT, self.results)
        rows.many(conn, _PUBLISH, self.outbox)
        rows.many(conn, _REMEMBER(conn), self.positions)
        rows.many(conn, _STAND_FOR, self.repositioned)
        if self.not_alone:
            conn.execute(_NOT_ALONE, {"pks": rows.padded(self.not_alone)})
        if self.loud:
            conn.execute(_LOUD, {"pks": rows.padded(self.loud)})
        if self.superseded:
            supersede.replace(conn, self.routes, self.superseded, self.at)
        if self.cancelled:
            cancel_rows(conn, self.routes, self.cancelled, self.at)
        if gone := self.cancelled & waiting_cancels:
            conn.execute(delete(cancels).where(cancels.c.identity.in_(rows.padded(gone))))
        rows.many(conn, _PROGRESS, _advanced(self.reached))


def _advanced(reached: dict[tuple[str, int], Position]) -> list[dict[str, Any]]:
    return [
        {"the_topic": topic, "the_partition": partition, "the_next": p.offset + 1, "the_timestamp": p.timestamp}
        for (topic, partition), p in sorted(reached.items(), key=lambda item: item[0])
    ]
