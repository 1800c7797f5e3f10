"""Which requests a replay is about, and walking over them in the order of their keys, a few at a time.

What was chosen is settled when the replay is made: requests that are accepted later do not join it.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, case, func, literal, or_, select

from schemas.request import REPLAYS
from store import rows
from store.ledger.types.steps import UNFINISHED
from store.tables import executions, intake_progress, positions, requests

_R = requests.c
_E = executions.c
_P = positions.c

AT_ONCE = 500
PAST_ALL = 2**62
COST_ANYTHING = (
    _E.closed_at.is_not(None)
    & _E.outcome.is_not(None)
    & ((_E.outcome == "ok") | _E.cost_nano.is_(None) | (_E.cost_nano != 0) | (_E.input_tokens > 0))
)
"""A closed call of which a usage event was published."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """None and empty: all. Accepted from `since` on and before `until`. `pks`: only these, in their order."""

    states: tuple[str, ...] = ()
    operation: str | None = None
    tenant: str | None = None
    run_id: str | None = None
    since: float = 0.0
    until: float = math.inf
    pks: tuple[int, ...] | None = None
    upto: int = PAST_ALL
    """The newest request there was."""
    originals: bool = False
    """Without those that a replay asked anew."""

    def packed(self) -> bytes:
        """For the ledger."""
        return orjson.dumps(asdict(self))  # which has no infinity, and writes null

    @classmethod
    def read(cls, packed: bytes) -> "Chosen":
        """What `packed` wrote."""
        told = orjson.loads(packed)
        pks = None if told["pks"] is None else tuple(told["pks"])
        until = math.inf if told["until"] is None else told["until"]
        return cls(**told | {"states": tuple(told["states"]), "pks": pks, "until": until})

    def filters(self) -> list[ColumnElement[bool]]:
        """All but the keys."""
        named = {"operation": self.operation, "tenant": self.tenant, "run_id": self.run_id}
        found = [_R[name] == value for name, value in named.items() if value is not None]
        if self.states:
            found.append(_R.state.in_(self.states))
        if self.since > 0:
            found.append(_R.accepted_at >= self.since)
        if self.until < math.inf:
            found.append(_R.accepted_at < self.until)
        if self.originals and self.run_id is None:
            found.append(or_(_R.run_id.is_(None), _R.run_id.not_like(f"{REPLAYS}%")))
        return found


def newest(conn: Connection) -> int:
    """The key of the newest request; 0: there is none."""
    return int(conn.execute(select(func.coalesce(func.max(_R.pk), 0))).scalar_one())


def after(conn: Connection, chosen: Chosen, cursor: int, limit: int = AT_ONCE) -> list[int]:
    """The keys of the next few behind `cursor`; none: that was all."""
    wanted = select(_R.pk).where(*chosen.filters()).order_by(_R.pk).limit(limit)
    if chosen.pks is None:
        return list(conn.execute(wanted.where(_R.pk > cursor, _R.pk <= chosen.upto)).scalars())
    start = bisect_right(chosen.pks, cursor)
    while start < len(chosen.pks):
        some = rows.padded(chosen.pks[start : start + limit])
        if found := list(conn.execute(wanted.where(_R.pk.in_(some))).scalars()):
            return found
        start += limit
    return []


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger knows of one request's calls: tokens as counted, as feared beforehand, and what all of them cost."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    feared_input: int = 0
    feared_output: int = 0
    gpu_seconds: float = 0.0
    cost_nano: int = 0


_LAST = (_E.generation == _R.generation) & (_E.outcome == "ok")
_CALLS = (
    select(
        _E.request_pk,
        *(
            func.sum(case((_LAST, column), else_=0))
            for column in (
                literal(1),
                _E.input_tokens,
                _E.output_tokens,
                _E.estimate_tokens,
                _E.estimate_output,
                func.coalesce(_E.gpu_seconds, 0.0),
            )
        ),
        func.sum(func.coalesce(_E.cost_nano, 0)),
    )
    .join_from(executions, requests, _R.pk == _E.request_pk)
    .where(_E.outcome.is_not(None))
    .group_by(_E.request_pk)
)


def recorded(conn: Connection, pks: Collection[int]) -> dict[int, Recorded]:
    """The calls that gave each request's latest answer; the cost is that of all of them, whatever came of it."""
    if not pks:
        return {}
    found = conn.execute(_CALLS.where(_E.request_pk.in_(rows.padded(pks))))
    return {row[0]: _recorded(*row[1:]) for row in found}


def _recorded(*sums: Any) -> Recorded:
    calls, input_, output, feared_input, feared_output, gpu_seconds, cost = sums
    return Recorded(
        int(calls),
        int(input_),
        int(output),
        int(feared_input),
        int(feared_output),
        float(gpu_seconds),
        int(cost),
    )


def rows_of(conn: Connection, pks: Sequence[int]) -> list[Row[Any]]:
    """These requests, in the order of their keys."""
    return list(conn.execute(select(requests).where(_R.pk.in_(rows.padded(pks))).order_by(_R.pk))) if pks else []


def walk(conn: Connection, chosen: Chosen) -> Iterator[list[Row[Any]]]:
    """All of them, some hundred at a time."""
    cursor = 0
    while found := after(conn, chosen, cursor):
        yield rows_of(conn, found)
        cursor = found[-1]


def settled(conn: Connection, chosen: Chosen) -> Chosen:
    """The same, without what will be accepted later."""
    return replace(chosen, upto=min(chosen.upto, newest(conn)))


def is_finished(row: Any) -> bool:
    """Whether it has a terminal answer."""
    return row.state not in UNFINISHED


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of a request topic, both included; None: from its first, to its last. Without a partition: of all."""

    topic: str
    partition: int | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger remembers of a range: the requests, how many records stood there, and where it has read on to."""

    pks: tuple[int, ...]
    records: int
    read_to: dict[int, int]
    """Partition to the offset that is read next."""


def standing_at(conn: Connection, wanted: Range) -> Standing:
    """By the positions that intake has written down, so that a topic's own retention does not matter."""
    place = intake_progress.c
    read_to = select(place.partition, place.next_offset).where(place.topic == wanted.topic)
    found = select(_P.request_pk).where(_P.topic == wanted.topic)
    if wanted.partition is not None:
        found = found.where(_P.partition == wanted.partition)
    if wanted.first is not None:
        found = found.where(_P.offset >= wanted.first)
    if wanted.last is not None:
        found = found.where(_P.offset <= wanted.last)
    listed = list(conn.execute(found).scalars())
    pks = tuple(sorted({pk for pk in listed if pk is not None}))
    return Standing(pks, len(listed), {row[0]: row[1] for row in conn.execute(read_to)})
