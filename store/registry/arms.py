"""What requests did that were accepted by a label, one by one: enough to hold its versions against each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, or_, select

from schemas.pin import pins
from schemas.request import REPLAYS
from store import rows
from store.tables import executions, requests

MOST = 50_000
"""Calls of the prompt that are looked at, the newest first."""
REPAIR = "repair"
"""The prompt of the second try at an answer that had not the form asked for."""
_AT_ONCE = 1_000

_E, _R = executions.c, requests.c


@dataclass(frozen=True, slots=True)
class Did:
    """One request of an arm that was called. `nano` None: nothing priced one of its calls; `latency_ms` of its calls that were
    answered; `repaired`: its first answer had not the form asked for.
    """

    version: int
    state: str
    error_type: str | None
    nano: int | None
    latency_ms: int
    repaired: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose requests, by which label of which prompt, begun when. `slug`: as the history of calls has it."""

    prompt_id: str
    slug: str
    label: str
    tenant: str
    since: float
    until: float


def did(conn: Connection, wanted: Wanted) -> tuple[list[Did], bool]:
    """The newest, and whether there are more. A request counts for the version that it was accepted with, whatever its label
    stands for now; one that named its version counts for none, since nobody drew for it, nor does one that a replay asked.
    """
    asked = (
        select(_R.pk, _R.generation, _R.state, _R.error_type, _R.pinned)
        .join_from(executions, requests, (_R.pk == _E.request_pk) & (_R.generation == _E.generation))
        .where(_E.prompt == wanted.slug, _E.opened_at >= wanted.since, _E.opened_at < wanted.until)
        .where(_R.tenant == wanted.tenant, _R.pinned.is_not(None))
        .where(or_(_R.run_id.is_(None), _R.run_id.not_like(f"{REPLAYS}%")))
        .order_by(_E.opened_at.desc())
        .limit(MOST + 1)
    )
    found = conn.execute(asked).all()
    versions: dict[int, int] = {}
    named = {row.pk: row for row in found[:MOST]}
    for pk, row in named.items():
        pinned = next((pin for pin in pins(row.pinned) if pin.id == wanted.prompt_id), None)
        if pinned is not None and pinned.label == wanted.label:
            versions[pk] = pinned.version
    sums = _sums(conn, [(pk, named[pk].generation) for pk in versions])
    told = [
        Did(version, named[pk].state, named[pk].error_type, *sums[pk]) for pk, version in versions.items() if pk in sums
    ]
    return told, len(found) > MOST


def _sums(conn: Connection, which: Sequence[tuple[int, int]]) -> dict[int, tuple[int | None, int, bool]]:
    """By request, of all calls of its last generation: cost, latency, and whether there was a second try."""
    found: dict[int, tuple[int | None, int, bool]] = {}
    generations = dict(which)
    listed = sorted(generations)
    for at in range(0, len(listed), _AT_ONCE):
        asked = (
            select(
                _E.request_pk,
                _E.generation,
                func.sum(_E.cost_nano),
                func.sum(case((_E.cost_nano.is_(None) & _E.outcome.in_(("ok", "wasted")), 1), else_=0)),
                func.sum(case((_E.outcome == "ok", _E.latency_ms), else_=0)),
                func.sum(case((_E.prompt == REPAIR, 1), else_=0)),
            )
            .where(_E.request_pk.in_(rows.padded(listed[at : at + _AT_ONCE])), _E.closed_at.is_not(None))
            .group_by(_E.request_pk, _E.generation)
        )
        for pk, generation, nano, unpriced, latency, repairs in conn.execute(asked):
            if generations[pk] == generation:
                found[pk] = (None if unpriced else int(nano or 0), int(latency), bool(repairs))
    return found
