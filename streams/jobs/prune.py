"""`prune`: what is old goes now, by days of its own.

By the settings it goes every five minutes without any job; so a run must say days, and is for those who want it at an hour of
theirs or for once.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agents.engine import pruner
from store.ledger.room import Keep
from streams.jobs.base import Context, Job

_Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]


class Params(BaseModel):
    """For how many days texts and answers, calls, and decisions about records are kept; what is not said is left alone."""

    model_config = ConfigDict(extra="forbid")

    bodies_days: _Days | None = None
    journal_days: _Days | None = None
    positions_days: _Days | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Params":
        if self.bodies_days is None and self.journal_days is None and self.positions_days is None:
            raise ValueError(
                "it names no days; by the settings (GENAI_KEEP_…_DAYS) old things go by themselves every five minutes, "
                "so give bodies_days, journal_days or positions_days"
            )
        return self


async def work(context: Context, params: Params) -> dict[str, Any]:
    """In the small batches of the pruner; begun anew it goes on where it was."""
    keep = Keep(params.bodies_days, params.journal_days, params.positions_days)
    return {"gone": await pruner.prune(context.database, keep)}


JOB = Job(Params, work)
