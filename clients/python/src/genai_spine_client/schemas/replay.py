# Made by `python -m scripts.client` from schemas/replay.py; change it there.
"""What `genai-spine replay` says for a program: what it would do, and how two answers to the same requests compare."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Group(BaseModel):
    """Requests of one operation that ended, or stand, alike."""

    operation: str
    status: str
    requests: int
    recorded_usd: Annotated[str, Field(description="What all their calls have cost.")] = "0.000000"


class Doing(BaseModel):
    """What one mode would do. Costs are told for the mode that was chosen; `unpriced` requests have no price and are left out."""

    requests: int = 0
    about_usd: Annotated[str | None, Field(description="By the tokens that were counted.")] = None
    most_usd: Annotated[str | None, Field(description="By the tokens that are reserved before a call.")] = None
    unpriced: int = 0


class ReplayPlan(BaseModel):
    """What was chosen, and what each mode would do with it."""

    mode: Literal["again", "recorded", "anew"]
    chosen: int
    groups: list[Group]
    unfinished: Annotated[int, Field(description="They are left alone: their one answer comes.")]
    again: Annotated[Doing, Field(description="Not succeeded: run again under their own identity.")]
    recorded: Annotated[Doing, Field(description="Ended, their answers kept: those published again.")]
    anew: Annotated[Doing, Field(description="Ended, and kept: asked anew, aside.")]
    unkept: Annotated[int, Field(description="Ended, but their answers are no longer kept.")] = 0
    budget_usd: str | None = None
    missing: Annotated[str, Field(description="What the ledger does not remember of a range of offsets.")] = ""


class ReplayReport(BaseModel):
    """What a run has done."""

    run: str
    mode: Literal["again", "recorded", "anew"]
    ended: bool
    sent: Annotated[int, Field(description="Records or requests.")]
    results: int = 0
    usage_events: int = 0
    left_alone: Annotated[int, Field(description="Unfinished, succeeded already, no request, or no longer kept.")] = 0
    left_out: Annotated[int, Field(description="Not asked, for the budget or for want of a price.")] = 0
    spent_usd: str = "0.000000"


class Answered(BaseModel):
    """One side of one request."""

    status: str
    error_type: str | None = None
    provider: str | None
    model: str | None
    cost_usd: str | None
    latency_ms: int


class Compared(BaseModel):
    """One request. `original` is null where its answer is no longer kept, `replay` where there is none (yet)."""

    id: str
    operation: str
    tenant: str
    outcome: Literal["same", "changed", "failed", "unfinished", "left_out"]
    fields: Annotated[list[str], Field(description="Paths in the result that differ; the first twenty.")] = []
    original: Answered | None = None
    replay: Answered | None = None


class Side(BaseModel):
    """All answers of one side, of requests whose replay has ended."""

    answers: int = 0
    cost_usd: str = "0.000000"
    unpriced: int = 0
    latency_ms_median: int = 0
    models: list[str] = []


class Example(BaseModel):
    """One difference in full, as far as it is short: a text, or JSON."""

    id: str
    operation: str
    tenant: str
    field: str
    before: str
    after: str


class Comparison(BaseModel):
    """A run of `replay --anew` held against its originals: `genai-spine replay diff RUN --json`."""

    run: str
    ended: bool
    counts: Annotated[dict[str, int], Field(description="By outcome: same, changed, failed, unfinished, left_out.")]
    fields: Annotated[dict[str, int], Field(description="Path, without places in lists, to how often it differs.")]
    original: Side
    replay: Side
    left_out_usd: Annotated[str, Field(description="What those left out were feared to cost.")]
    examples: Annotated[
        list[Example], Field(description="What both said, of the first five requests that differ.")
    ] = []
    items: list[Compared]
