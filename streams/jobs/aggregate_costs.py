"""`aggregate_costs`: days' costs added up anew from their calls, and put right where they differ."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.money import to_usd
from store import killpoint
from store.ledger import rollup
from streams import corrections
from streams.jobs.base import Context, Failed, Job

_SHOWN = 100
"""Differences of a day that the result tells one by one; the rest is counted."""
Day = date


class Params(BaseModel):
    """`date`: a UTC day that has ended, by default yesterday; `days`: that day and those before it, so many in all."""

    model_config = ConfigDict(extra="forbid")

    period: Literal["daily"] = "daily"
    date: Day | None = None
    days: Annotated[int, Field(ge=1, le=400)] = 1

    @field_validator("date")
    @classmethod
    def _has_ended(cls, told: Day | None) -> Day | None:
        if told is not None and told > _yesterday():
            raise ValueError(f"{told} has not ended (UTC); the last day that has is {_yesterday()}")
        return told


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


async def work(context: Context, params: Params) -> dict[str, Any]:
    """Each day in a transaction of its own."""
    last = params.date or _yesterday()
    days = [last - timedelta(days=back) for back in reversed(range(params.days))]
    try:
        told = [await _one(context, day) for day in days]
    except rollup.Gone as error:
        kept = f"ask from {error.whole} on"
        raise Failed(
            f"the calls of {days[0]} are no longer kept one by one (GENAI_KEEP_JOURNAL_DAYS); {kept}"
        ) from None
    off = sum(each.pop("off_nano") for each in told)
    differences = sum(each["differences"] for each in told)
    context.meters.differences.inc(differences)
    context.meters.difference_usd.inc(off / 1e9)
    return {
        "period": params.period,
        "from": str(days[0]),
        "to": str(last),
        "differences": differences,
        "difference_usd": to_usd(off),
        "days": told,
    }


async def _one(context: Context, day: date) -> dict[str, Any]:
    found = await context.database.report(lambda conn: rollup.compare(conn, day))
    if found.differences:
        found = await context.database.write(lambda conn: rollup.put_right(conn, day, context.run_id))
        killpoint.passing("rolled_up")
    lines = await context.database.read(lambda conn: rollup.corrected_by(conn, day, context.run_id))
    return {
        "date": str(day),
        "sums": found.sums,
        "cost_usd": to_usd(found.cost_nano),
        "differences": len(lines),
        "off_nano": sum(abs(row.cost_nano) for row in lines),
        "corrected": [corrections.told(row) for row in lines[:_SHOWN]],
    }


JOB = Job(Params, work)
