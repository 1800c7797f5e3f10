"""What requests cost less since they had time: to wait for a cheaper model, by day, route and tenant, or for a cheaper tier of
their provider.

In the answer's own transaction, behind the books; a batch without such an answer costs no statement.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from schemas.routes import Pinned
from store import rows
from store.ledger.answers import moment
from store.ledger.types.steps import End, Step
from store.tables import daily_savings, daily_tiers

_D = daily_savings.c
_ADD = rows.upserting(
    daily_savings,
    lambda statement: statement.on_conflict_do_update(
        index_elements=["date", "route", "tenant"],
        set_={name: _D[name] + statement.excluded[name] for name in ("requests", "saved_nano")},
    ),
)


_T = daily_tiers.c
_ADD_TIER = rows.upserting(
    daily_tiers,
    lambda statement: statement.on_conflict_do_update(
        index_elements=["date", "tier", "provider", "model", "tenant"],
        set_={name: _T[name] + statement.excluded[name] for name in ("requests", "saved_nano")},
    ),
)


def book(conn: Connection, held: Sequence[Step], at: float) -> None:
    """Of the steps that end a request here and now."""
    date = moment(at).date().isoformat()
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for step in held:
        if isinstance(step.then, End) and step.then.saved_nano and step.claim.route is not None:
            found = sums[Pinned.model_validate_json(step.claim.route).name, step.claim.tenant]
            found[0] += 1
            found[1] += step.then.saved_nano
    if sums:
        rows.many(conn, _ADD(conn), (_row(date, *key, *found) for key, found in sorted(sums.items())))
    _book_tiers(conn, held, date)


def _book_tiers(conn: Connection, held: Sequence[Step], date: str) -> None:
    sums: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for step in held:
        if isinstance(step.then, End) and step.then.tier is not None and step.then.tier_saved_nano is not None:
            found = sums[step.then.tier.name, step.claim.provider, step.claim.model, step.claim.tenant]
            found[0] += 1
            found[1] += step.then.tier_saved_nano
    if sums:
        names = ("tier", "provider", "model", "tenant", "requests", "saved_nano")
        told = ({"date": date, **dict(zip(names, (*key, *found), strict=True))} for key, found in sorted(sums.items()))
        rows.many(conn, _ADD_TIER(conn), told)


def _row(date: str, route: str, tenant: str, requests: int, nano: int) -> dict[str, Any]:
    return {"date": date, "route": route, "tenant": tenant, "requests": requests, "saved_nano": nano}


def between(conn: Connection, first: str, last: str, tenant: str | None = None) -> list[Row[Any]]:
    """From one UTC day to another, both included; of all tenants, unless one is named."""
    wanted = select(daily_savings).where(_D.date >= first, _D.date <= last)
    wanted = wanted if tenant is None else wanted.where(_D.tenant == tenant)
    return list(conn.execute(wanted.order_by(_D.date, _D.route, _D.tenant)))


def tiers_between(conn: Connection, first: str, last: str, tenant: str | None = None) -> list[Row[Any]]:
    """The same, of cheaper tiers."""
    wanted = select(daily_tiers).where(_T.date >= first, _T.date <= last)
    wanted = wanted if tenant is None else wanted.where(_T.tenant == tenant)
    return list(conn.execute(wanted.order_by(_T.date, _T.tier, _T.provider, _T.model, _T.tenant)))
