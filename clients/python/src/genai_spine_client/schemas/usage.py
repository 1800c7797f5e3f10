# Made by `python -m scripts.client` from schemas/usage.py; change it there.
"""What one provider call used and cost. The topic is at-least-once: fold by `id`."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel


class Price(BaseModel):
    """Which table priced a call, so that a bill can be reproduced."""

    source: str
    version: str


class UsageEvent(BaseModel):
    """One call that cost anything or returned. `wasted`: paid, but its answer was lost or unusable."""

    id: str
    request_id: str
    operation: str
    tenant: str
    run_id: str | None = None
    provider: str
    model: str
    kind: Literal["chat", "embed", "batch", "moderate"]
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    gpu_seconds: float | None = None
    cost_usd: str | None = None
    price: Price | None = None
    latency_ms: int = 0
    outcome: Literal["ok", "error", "wasted"]
    corrects: str | None = None
    """It is no call: `cost_usd` is added to what the call with this id has cost, and may be below zero."""
    at: AwareDatetime
