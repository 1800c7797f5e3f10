"""A request is sent again that failed with the leader of its idempotency key: the leader is run again, as it was asked."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, exists, select

from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.records import Position
from store.tables import bodies, requests, run_cancels

_R = requests.c
_C = run_cancels.c
_LED = select(
    requests,
    exists().where(bodies.c.request_pk == _R.pk).label("is_kept"),
    exists().where(_C.tenant == _R.tenant, _C.run_id == _R.run_id).label("is_called_off"),
).where(_R.pk == bindparam("the_pk"))
_OWN = ("id", "run_id", "lane", "on_ambiguous", "deadline", "ordered", "supersede_key", "quiet", "response")
"""What a leader has for itself; the rest follows from the payload, which it shares with its followers."""


@dataclass(frozen=True, slots=True)
class Again:
    """A leader as if it had come again by itself."""

    identity: bytes
    arrival: Arrival
    ask: Ask


def as_it_was_asked(conn: Connection, pk: int, ask: Ask, at: float) -> Again | None:
    """The failed leader at `pk`, which is locked already; `ask`: its follower's. None: it is not run again, since its deadline
    has passed, its run is cancelled, what it was asked is no longer kept, a newer request stands for it, or another key brought it.
    """
    row = conn.execute(_LED, {"the_pk": pk}).one()
    gone = row.superseded_by is not None or (ask.supersede_key is not None and row.supersede_key == ask.supersede_key)
    late = row.deadline is not None and row.deadline <= at
    if gone or late or row.is_called_off or not row.is_kept or row.key_id != ask.key_id:
        return None
    own = {name: getattr(row, name) for name in _OWN}
    asked = replace(ask, **own, alone=False, streamed=False)
    return Again(bytes(row.identity), Arrival(asked, _position(row), row.key, b"", b""), asked)


def _position(row: Any) -> Position | None:
    if row.source_topic is None:
        return None
    return Position(row.source_topic, row.source_partition, row.source_offset, row.source_timestamp)
