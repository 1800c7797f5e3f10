# Made by `python -m scripts.client` from schemas/routes.py; change it there.
"""The words of `routes.yaml`, and of what a request keeps of the route that it came by."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from genai_spine_client.schemas.errors import ErrorType
from genai_spine_client.schemas.request import Name
from genai_spine_client.schemas.tiers import Tier

_Strict = ConfigDict(extra="forbid", strict=True)

Cause = Literal[
    "unreachable",
    "overloaded",
    "rate_limited",
    "model_not_found",
    "timeout",
    "context_too_long",
    "invalid_answer",
]
"""Errors after which another model may be asked. A bad request and a refusal are none of them: they would be bad elsewhere."""

USUAL_CAUSES: tuple[Cause, ...] = (
    "unreachable",
    "overloaded",
    "rate_limited",
    "model_not_found",
    "timeout",
    "context_too_long",
)


class When(BaseModel):
    """Only requests that fit all that is said here go to this target."""

    model_config = _Strict

    operations: Annotated[list[Name], Field(min_length=1)] | None = None
    tenants: Annotated[list[Name], Field(min_length=1)] | None = None
    lanes: Annotated[list[Literal["realtime", "normal", "batch"]], Field(min_length=1)] | None = None


class Target(BaseModel):
    """Where requests go: `provider/model`, or the name of another route.

    `weight`: its share among the route's targets. `arm`: what an experiment calls it, else the model's name. `wait_s`: a
    request that waits longer for it, or for half of the time to its deadline, goes on to the next one.
    """

    model_config = _Strict

    model: Name
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)] = 1.0
    arm: Name | None = None
    when: When | None = None
    wait_s: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)] | None = None


class Fallback(BaseModel):
    """Where requests go that no target can take now, or that a target has failed."""

    model_config = _Strict

    model: Name
    when: When | None = None
    wait_s: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)] | None = None


def _branch(told: Any) -> str:
    """A text is a name; so that of two shapes only the one that was meant is told about."""
    return "<name>" if isinstance(told, str) else "<more>"


_Named = Annotated[Name, Tag("<name>")]
_Targets = Annotated[_Named | Annotated[Target, Tag("<more>")], Discriminator(_branch)]
_Fallbacks = Annotated[_Named | Annotated[Fallback, Tag("<more>")], Discriminator(_branch)]


class Hedge(BaseModel):
    """A call that takes longer than so many percent of those before it gets a second one beside it; the first answer counts.
    `paid`: also where both must be paid.
    """

    model_config = _Strict

    percentile: Annotated[float, Field(ge=50, lt=100, strict=False)] = 95.0
    paid: bool = False


class Route(BaseModel):
    """One name. One of `targets` is chosen by weight, then come `fallbacks` in their order.

    `sticky`: requests that share it go to the same target: `key` (the record's key, else its id), `id`, `tenant`,
    `metadata.<name>` or `input.<name>`. Without it the other targets stand in before the fallbacks; with it they never do.
    `fall_back_on`: the errors after which the next one is asked. `rate_limited_after_s`: a pause that the provider asks for
    and that is no longer is waited for. `max_waiting`: a target that so many requests wait for is passed over. `tier`: how its
    requests are asked that do not say it themselves. `hedge`: what is done about calls that take long. `guards`: rules for what
    comes by this route, beside those of the settings, such as `moderation:refuse:both`; they hold too for what comes here by
    another route.
    """

    model_config = _Strict

    targets: Annotated[list[_Targets], Field(min_length=1, max_length=100)]
    fallbacks: Annotated[list[_Fallbacks], Field(max_length=100)] = []
    sticky: Annotated[str, Field(pattern=r"^(key|id|tenant|(metadata|input)\.[^\s.]+)$")] | None = None
    fall_back_on: list[Cause] = list(USUAL_CAUSES)
    rate_limited_after_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)] = 5.0
    max_waiting: Annotated[int, Field(ge=1)] | None = None
    tier: Tier | None = None
    hedge: Hedge | None = None
    guards: Annotated[list[Name], Field(max_length=20)] = []


class File(BaseModel):
    """`routes.yaml`: names that people call, and what they stand for. A text alone is a route with one target."""

    model_config = ConfigDict(extra="forbid", strict=True, title="GenAI Spine: routes.yaml")

    routes: dict[Name, Annotated[_Named | Annotated[Route, Tag("<more>")], Discriminator(_branch)]]


class Tried(BaseModel):
    """A target that a request left: why, and what its calls were booked at (nano-dollars; null: nobody knows). `waited`: it
    was never called, since it was too busy for too long.
    """

    target: str
    error: ErrorType
    cost_nano: int | None = 0
    waited: bool = False


class Next(BaseModel):
    """A target that is left. `paid` as its provider says; `context_tokens` null: not known."""

    provider: str
    model: str
    paid: bool
    context_tokens: int | None = None
    wait_s: float | None = None


class Pinned(BaseModel):
    """What a row keeps of its route, so that a file that changes never changes what waits."""

    name: str
    arm: str | None = None
    left: list[Next] = []
    tried: list[Tried] = []
    causes: list[Cause] = list(USUAL_CAUSES)
    rate_limited_after_s: float = 5.0
    since: int = 0
    """The attempts that were made before its present target."""
    patient: bool = False
    """Its present target is waited for so long only since what comes next is dearer."""
    tier: Tier | None = None
    hedge: Hedge | None = None
    guards: list[str] = []


def guards(kept: str | None) -> tuple[str, ...]:
    """The rules of a route, out of what a row keeps of it."""
    return () if kept is None or '"guards"' not in kept else tuple(Pinned.model_validate_json(kept).guards)


class Fell(BaseModel):
    """A target that did not answer, and why. `waited`: it was never called, since it was too busy for too long."""

    target: str
    error: ErrorType
    waited: bool = False


class Routed(BaseModel):
    """On a result: by which route it came, in which arm of an experiment, who answered, and who was asked before."""

    name: str
    arm: str | None = None
    target: str | None = None
    fallbacks: list[Fell] = []
    saved_usd: str | None = None
    """Of a request that had time to wait for this target: by how much it cost less than the next one would have."""
    hedged: Literal["first", "second"] | None = None
    """A second call was made beside one that took long: which of the two answered."""


def json_schema() -> dict[str, Any]:
    """Of the file, for editors."""
    return File.model_json_schema()
