# Made by `python -m scripts.client` from schemas/request.py; change it there.
"""A request as a producer writes it: only `input` is required."""

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from genai_spine_client.schemas import sizes
from genai_spine_client.schemas.tiers import Tier

MAX_NAME = 512
REPLAYS = "replay:"
"""How the runs of `genai-spine replay --anew` are named; no producer may name one so."""

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=PRINTABLE)]
"""An id, a tenant, a key: 1 to 512 characters, none of them a control character."""


Metadata = Annotated[
    Annotated[dict[str, Any], Field(max_length=sizes.MOST_METADATA)], sizes.at_most(sizes.MOST_METADATA, "keys")
]
"""Goes along with what it was sent with, and comes back; no model sees it."""

Moment = Annotated[
    AwareDatetime, WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]})
]
"""RFC 3339 with its zone; or, as clocks of programs tell it, seconds or milliseconds since 1970."""


class Lane(IntEnum):
    """How urgent; the smaller number goes first. A lane is a topic, so it is chosen by where a record is written."""

    REALTIME = 0
    NORMAL = 1
    BATCH = 2


LANE_NAMES = tuple(lane.name.lower() for lane in Lane)
"""As people write them, in the order of their numbers."""


class Options(BaseModel):
    """How to run the operation. Which of them change the answer is said in `CHANGE_THE_ANSWER`."""

    model_config = ConfigDict(extra="allow", strict=True)

    provider: Name | None = None
    model: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    cache: Literal["use", "refresh", "off"] = "use"
    resource: Literal["any", "gpu"] = "any"
    ordered: bool = False
    on_ambiguous: Literal["retry", "fail", "hold"] = "retry"
    tier: Tier | None = None


CHANGE_THE_ANSWER = ("provider", "model", "temperature", "max_tokens")
"""The options that are part of a request's payload; two records that differ in another one are the same request."""


CHANGES_NO_ANSWER = "keep"
"""A field of the input that says only how the provider is to go about it."""


class Request(BaseModel):
    """The envelope. `input` is checked against its operation's own schema afterwards (`schemas.<operation>.Input`)."""

    model_config = ConfigDict(extra="allow")

    id: Name | None = None
    input: dict[str, Any]
    options: Options = Options()
    tenant: Name | None = None
    idempotency_key: Name | None = None
    supersede_key: Name | None = None
    run_id: Name | None = None
    deadline: Moment | None = None
    metadata: Metadata = {}
    response: SkipJsonSchema[dict[str, Any] | None] = None
    """How `/v1/responses` was asked for it, as far as nothing else here says it; no operation sees it."""
    body_digest: SkipJsonSchema[str | None] = None
    """Of the body that OpenAI's or Anthropic's clients sent under a key: another body is another request, whatever became of it."""

    def question(self) -> dict[str, Any]:
        """The input as far as it decides the answer: what two records share that ask the same."""
        return {name: value for name, value in self.input.items() if name != CHANGES_NO_ANSWER}

    def unknown_fields(self) -> list[str]:
        """Fields that the contract does not know: kept away from the model, reported as a warning."""
        own = sorted(self.model_extra or {})
        options = sorted(self.options.model_extra or {})
        return own + [f"options.{name}" for name in options]


def epoch(moment: datetime | None) -> float | None:
    """Seconds since 1970 UTC, the form in which the ledger keeps times."""
    return None if moment is None else moment.timestamp()
