# Made by `python -m scripts.client` from schemas/costs.py; change it there.
"""The running totals of one UTC day: what `genai.costs.daily` holds under `date|provider|model|tenant`."""

from typing import Annotated

from pydantic import BaseModel, Field


class DailyTotals(BaseModel):
    """The last value of a key counts. `seen` and `position` are the table's own bookkeeping."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: str = "0.000000"
    unpriced_calls: int = 0
    seen: Annotated[dict[str, int], Field(description="The last number folded, per ledger and partition.")] = {}
    position: Annotated[
        list[int] | None,
        Field(min_length=2, max_length=2, description="Partition and offset of the last event folded."),
    ] = None
