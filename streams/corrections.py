"""What was put right of days' costs, as HTTP, the command line and the run that did it show it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Row

from schemas.money import to_usd
from store.ledger.rollup import SUMS

MOST = 1_000


def listed(found: Sequence[Row[Any]], first: date, last: date) -> dict[str, Any]:
    """Of the days from one to another."""
    items = [{"date": row.date, **told(row), "run_id": row.run_id, "at": _moment(row.at)} for row in found]
    return {"from": str(first), "to": str(last), "items": items}


def told(row: Row[Any]) -> dict[str, Any]:
    """By how much the calls were more than what had been added up; of calls and tokens only what was wrong."""
    counted = {name: getattr(row, name) for name in SUMS if name != "cost_nano" and getattr(row, name)}
    named = {"provider": row.provider, "model": row.model, "tenant": row.tenant}
    return {**named, "difference_usd": to_usd(row.cost_nano), "more": counted}


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
