# Made by `python -m scripts.client` from schemas/result.py; change it there.
"""A result as consumers read it: exactly one terminal result per request and generation."""

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel

from genai_spine_client.schemas.errors import Failure
from genai_spine_client.schemas.pin import Prompted
from genai_spine_client.schemas.routes import Routed
from genai_spine_client.schemas.tiers import Tiered


class Status(StrEnum):
    """How a request ended. `expired`: its deadline passed before it cost anything."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Wasted(BaseModel):
    """What calls used whose answers were lost or came second: booked, and no part of the answer that there is."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    calls: int = 0


class Totals(BaseModel):
    """What all calls of one request used. `cached_tokens` were read from a provider's prompt cache and `cache_write_tokens` written
    to it, both parts of `input_tokens`; `reasoning_tokens` are a part of `output_tokens`. `cost_usd` is null when nothing priced it;
    `wasted`: of an answer, so much of it was used without getting there.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cost_usd: str | None = "0.000000"
    unpriced_calls: int = 0
    calls: int = 0
    wasted: Wasted | None = None


class Source(BaseModel):
    """Where the request came from; null for one that came over HTTP."""

    topic: str
    partition: int
    offset: int


class Cached(BaseModel):
    """Whose recorded output this is. `id` is null where it is another tenant's."""

    id: str | None
    generation: int
    completed_at: AwareDatetime


class Result(BaseModel):
    """The terminal answer to one request; fold by (tenant, operation, id), highest generation wins."""

    id: str
    operation: str
    status: Status
    output: dict[str, Any] | None = None
    error: Failure | None = None
    warnings: list[str] = []
    provider: str | None = None
    model: str | None = None
    usage: Totals = Totals()
    latency_ms: int = 0
    queue_ms: int = 0
    attempts: int = 0
    generation: int = 1
    replayed: bool = False
    cached: Cached | None = None
    route: Routed | None = None
    prompts: list[Prompted] = []
    tier: Tiered | None = None
    tenant: str
    run_id: str | None = None
    metadata: dict[str, Any] = {}
    source: Source | None = None
    requested_at: AwareDatetime
    completed_at: AwareDatetime
