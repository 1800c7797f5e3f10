# Made by `python -m scripts.client` from schemas/progress.py; change it there.
"""How far a long call is: what `genai.runs` holds under the run's id, or the request's when it has none."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field


class Progress(BaseModel):
    """About once a second, while a call takes longer than that; the latest of a generation counts."""

    run_id: str | None
    request_id: str
    operation: str
    tenant: str
    generation: int
    tokens: Annotated[int, Field(description="Of all answers so far, about.")]
    calls: Annotated[int, Field(description="How many were begun.")]
    since: Annotated[datetime, Field(description="When the one that runs was begun.")]
    at: Annotated[datetime, Field(description="When this was said.")]
