"""Reading the ledger: one request, the calls, the days, what waits."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, select, text, tuple_

from store import rows
from store.database import now
from store.ledger.books import utc_day
from store.ledger.types.claims import Claimed, Pool
from store.ledger.types.steps import PastCall
from store.tables import (
    BEHIND,
    CLAIMABLE,
    DELAYED,
    corrections,
    daily_costs,
    executions,
    outbox,
    pools,
    requests,
    results,
    slots,
)

_R = requests.c
_E = executions.c
_C = corrections.c


def past_calls(conn: Connection, claim: Claimed) -> list[PastCall]:
    """The closed calls of this generation: what they cost, and the answers that may be taken over: those of the model that
    the request is at now.
    """
    found = conn.execute(
        select(executions)
        .where(_E.request_pk == claim.pk, _E.generation == claim.generation, _E.outcome.is_not(None))
        .order_by(_E.number, _E.opened_at)
    )
    return [
        PastCall(
            number=row.number,
            input_hash=row.input_hash,
            answer=row.answer if (row.provider, row.model) == (claim.provider, claim.model) else None,
            outcome=row.outcome,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cached_tokens=row.cached_tokens,
            estimated=row.estimated,
            cost_nano=row.cost_nano,
            event=row.outcome == "ok" or row.cost_nano != 0 or row.input_tokens > 0,
            here=(row.provider, row.model) == (claim.provider, claim.model),
            kind=row.kind,
            tier=row.tier or "",
            cache_write_tokens=row.cache_write_tokens,
            cache_write_1h_tokens=row.cache_write_1h_tokens,
            reasoning_tokens=row.reasoning_tokens,
        )
        for row in found
    ]


def requests_named(conn: Connection, id_: str, tenants: Sequence[str], operations: Sequence[str]) -> list[Row[Any]]:
    """The rows of one id, over these tenants and operations, with the current generation's result if it has ended."""
    wanted = [rows.identity(tenant, operation, id_) for tenant in tenants for operation in operations]
    joined = select(requests, results.c.body).join_from(
        requests, results, and_(results.c.request_pk == _R.pk, results.c.generation == _R.generation), isouter=True
    )
    return list(conn.execute(joined.where(_R.identity.in_(rows.padded(wanted)))))


def target(conn: Connection, pk: int) -> tuple[str, str]:
    """The provider and the model that a request is at now."""
    row = conn.execute(select(_R.provider, _R.model).where(_R.pk == pk)).one()
    return row.provider, row.model


def result_of(conn: Connection, pk: int, generation: int) -> bytes | None:
    """The published result of one generation; None while it is unfinished."""
    found = select(results.c.body).where(results.c.request_pk == pk, results.c.generation == generation)
    return conn.execute(found).scalar_one_or_none()


def results_since(conn: Connection, after: float, limit: int) -> list[bytes]:
    """The latest results, newest first."""
    found = (
        select(results.c.body)
        .where(results.c.completed_at > after)
        .order_by(results.c.completed_at.desc())
        .limit(limit)
    )
    return list(conn.execute(found).scalars())


def days(conn: Connection, first: str, last: str, tenant: str | None = None) -> list[Row[Any]]:
    """daily_costs from one UTC day to another, both included; of one tenant or of all."""
    d = daily_costs.c
    wanted = select(daily_costs).where(d.date >= first, d.date <= last)
    if tenant is not None:
        wanted = wanted.where(d.tenant == tenant)
    return list(conn.execute(wanted.order_by(d.date, d.provider, d.model, d.tenant)))


def journal_days(conn: Connection) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(provider, model, tenant) -> (calls, nano-dollars) summed from the journal, to hold `daily_costs` against."""
    booked = (_E.outcome.is_not(None)) & (
        (_E.outcome == "ok") | (_E.cost_nano.is_(None)) | (_E.cost_nano != 0) | (_E.input_tokens > 0)
    )
    found = conn.execute(
        select(_E.provider, _E.model, _E.tenant, func.count(), func.sum(func.coalesce(_E.cost_nano, 0)))
        .where(booked)
        .group_by(_E.provider, _E.model, _E.tenant)
    )
    told = {(row[0], row[1], row[2]): (int(row[3]), int(row[4])) for row in found}
    whose = (_C.provider, _C.model, _C.tenant)
    for row in conn.execute(select(*whose, func.sum(_C.cost_nano)).group_by(*whose)):
        calls, nano = told.get((row[0], row[1], row[2]), (0, 0))
        told[row[0], row[1], row[2]] = calls, nano + int(row[3])
    return told


_WAITING = text("state = 'waiting'")


def waiting_by_lane(conn: Connection) -> dict[int, tuple[int, float]]:
    """Lane -> (rows that wait, age of the oldest in seconds)."""
    at = now(conn)
    found = conn.execute(select(_R.lane, func.count(), func.min(_R.accepted_at)).where(_WAITING).group_by(_R.lane))
    return {row[0]: (int(row[1]), max(0.0, at - row[2])) for row in found}


def waiting_by_pool(conn: Connection) -> dict[tuple[str, str], int]:
    """(provider, model) -> rows that wait for it. Of those that may be claimed only the index is read."""
    found: dict[tuple[str, str], int] = {}
    for condition in (CLAIMABLE, BEHIND, DELAYED):
        here = rows.usual(condition, conn.dialect.name)
        counted = select(_R.provider, _R.model, func.count()).where(here).group_by(_R.provider, _R.model)
        for row in conn.execute(counted):
            found[row[0], row[1]] = found.get((row[0], row[1]), 0) + int(row[2])
    return found


def running(conn: Connection) -> list[Row[Any]]:
    """(provider, model, slots, slots in use), those in use first and then those that were used last. A slot at a node that is
    for other models now is none.
    """
    s, p = slots.c, pools.c
    used = func.sum(case((s.owner.is_not(None), 1), else_=0)).label("used")
    counted = (
        select(s.provider, s.model, func.count().label("total"), used)
        .where(s.open | s.owner.is_not(None))
        .group_by(s.provider, s.model)
        .subquery()
    )
    c = counted.c
    of_pool = (p.provider == c.provider) & (p.model == c.model)
    lately = (case((c.used > 0, 0), else_=1), func.coalesce(p.used_at, 0.0).desc(), c.provider, c.model)
    return list(conn.execute(select(counted).join_from(counted, pools, of_pool, isouter=True).order_by(*lately)))


def answered(conn: Connection) -> set[Pool]:
    """Pools that have answered since they are there, as far as their processes have told."""
    found = conn.execute(select(pools.c.provider, pools.c.model).where(pools.c.answered))
    return {(row.provider, row.model) for row in found}


def outbox_size(conn: Connection) -> int:
    """Records that wait to be published."""
    return int(conn.execute(select(func.count()).select_from(outbox)).scalar_one())


def results_of(conn: Connection, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """(pk, generation) -> the published result, of those that have ended."""
    found: dict[tuple[int, int], bytes] = {}
    r = results.c
    for start in range(0, len(places), 256):
        wanted = tuple_(r.request_pk, r.generation).in_(rows.padded(places[start : start + 256]))
        chosen = select(r.request_pk, r.generation, r.body).where(wanted)
        found.update({(row[0], row[1]): row[2] for row in conn.execute(chosen)})
    return found


def tenants(conn: Connection) -> set[str]:
    """Those that have ever cost anything; a small table, where the requests would have to be read whole."""
    return set(conn.execute(select(daily_costs.c.tenant).distinct()).scalars())


def journal_by_day(conn: Connection) -> dict[tuple[str, str, str, str], int]:
    """(UTC day, provider, model, tenant) -> nano-dollars, summed from the journal."""
    group = (utc_day(conn, _E.closed_at), _E.provider, _E.model, _E.tenant)
    found = select(*group, func.sum(func.coalesce(_E.cost_nano, 0))).where(_E.outcome.is_not(None)).group_by(*group)
    told = {(row[0], row[1], row[2], row[3]): int(row[4]) for row in conn.execute(found)}
    corrected = (utc_day(conn, _C.at), _C.provider, _C.model, _C.tenant)
    for row in conn.execute(select(*corrected, func.sum(_C.cost_nano)).group_by(*corrected)):
        key = row[0], row[1], row[2], row[3]
        told[key] = told.get(key, 0) + int(row[4])
    return told


def states_of(conn: Connection, wanted: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """(tenant, operation, id) -> the state of its latest generation, of those that there are."""
    by_identity = {rows.identity(*each): each for each in wanted}
    keys = list(by_identity)
    found: dict[tuple[str, str, str], str] = {}
    for start in range(0, len(keys), 256):
        chosen = select(_R.identity, _R.state).where(_R.identity.in_(rows.padded(keys[start : start + 256])))
        found.update({by_identity[row[0]]: row[1] for row in conn.execute(chosen)})
    return found


def keys_of(conn: Connection, wanted: Collection[tuple[str, str, str]]) -> set[int]:
    """The keys of those of (tenant, operation, id) that there are."""
    identities = [rows.identity(*each) for each in wanted]
    found: set[int] = set()
    for start in range(0, len(identities), 256):
        chosen = select(_R.pk).where(_R.identity.in_(rows.padded(identities[start : start + 256])))
        found.update(conn.execute(chosen).scalars())
    return found
