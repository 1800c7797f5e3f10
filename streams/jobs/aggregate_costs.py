"""`aggregate_costs`: days' costs added up anew from their calls, and put right where they differ."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.money import to_usd
from store import killpoint
from store.ledger import rollup, room
from store.ledger.rollup import SUMS
from streams import corrections
from streams.jobs.base import Context, Failed, Job

_SHOWN = 100
"""Differences of a day that the result tells one by one; the rest is counted."""
Day = date
_COST = SUMS.index("cost_nano")


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
    await _must_have_calls(context, days[0])
    told = [await _one(context, day) for day in days]
    off = sum(each["off_nano"] for each in told)
    for each in told:
        del each["off_nano"]
    return {
        "period": params.period,
        "from": str(days[0]),
        "to": str(last),
        "differences": sum(each["differences"] for each in told),
        "difference_usd": to_usd(off),
        "days": told,
    }


async def _must_have_calls(context: Context, first: date) -> None:
    """Of a day whose calls have gone every sum would be wrong."""
    gone = (await context.database.read(room.marks)).get("journal")
    whole = None if gone is None else datetime.fromtimestamp(gone, UTC).date()
    if whole is not None and first < whole:
        raise Failed(
            f"the calls of {first} are no longer kept one by one (GENAI_KEEP_JOURNAL_DAYS); ask from {whole} on"
        )


async def _one(context: Context, day: date) -> dict[str, Any]:
    found = await context.database.write(lambda conn: rollup.put_right(conn, day, context.run_id))
    context.meters.differences.inc(len(found.differences))
    context.meters.difference_usd.inc(sum(abs(each.more[_COST]) for each in found.differences) / 1e9)
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
