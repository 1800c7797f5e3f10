# Made by `python -m scripts.client` from schemas/runs.py; change it there.
"""A run: work that is asked for as one, and told about as one."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from genai_spine_client.schemas.errors import ErrorType
from genai_spine_client.schemas.request import Metadata, Name, Options

Kind = Literal["task", "workflow", "pipeline"]
RunKind = Literal["task", "workflow", "pipeline", "batch"]
"""A batch is made by `/v1/batches`."""
Status = Literal["queued", "running", "succeeded", "partially_failed", "failed", "cancelled", "expired"]
ENDED: frozenset[str] = frozenset({"succeeded", "partially_failed", "failed", "cancelled", "expired"})
Url = Annotated[str, StringConstraints(strict=True, pattern=r"^https?://", max_length=2000)]


class Webhook(BaseModel):
    """Where the end of a run is told, signed as Standard Webhooks says. `secret`: `whsec_` and base64."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    secret: Annotated[str, StringConstraints(strict=True, pattern=r"^(whsec_)?[A-Za-z0-9+/=]{24,}$")]


class Delivery(BaseModel):
    """How the end of a run was told. `next_try_at` is null when it was taken or given up."""

    id: str
    url: str
    tries: int
    delivered_at: AwareDatetime | None
    next_try_at: AwareDatetime | None
    said: str | None


def _exact(told: Any) -> Any:
    """A number of JSON as it was written, not as a machine keeps it."""
    return str(told) if isinstance(told, float) else told


Dollars = Annotated[
    Decimal, BeforeValidator(_exact), Field(ge=0, le=1_000_000_000, decimal_places=9, allow_inf_nan=False)
]
"""An amount, best as a text such as `"12.50"`."""


class NewRun(BaseModel):
    """What is asked for. `params` are the input's fields and, beside them, options such as `model` and `max_tokens`. `budget_usd`:
    so much all of its items may cost together; those that it has no room for fail, and a retry with more goes on.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    name: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    params: dict[str, Any] = {}
    id: Name | None = None
    tenant: Name | None = None
    priority: Literal["realtime", "normal", "low", "batch"] | None = None
    lane: Literal["realtime", "normal", "batch", "gpu", "any"] | None = None
    options: Options = Options()
    idempotency_key: Name | None = None
    deadline: AwareDatetime | None = None
    budget_usd: Dollars | None = None
    webhook: Webhook | None = None
    metadata: Metadata = {}

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return name.removeprefix("genai.")

    @field_validator("id")
    @classmethod
    def _part_of_an_address(cls, id_: str | None) -> str | None:
        if id_ is not None and ("/" in id_ or id_ in {".", ".."}):
            raise ValueError("is a part of addresses, where a slash and dots alone mean more; choose other characters")
        return id_


class Counted(BaseModel):
    """Of a run's items. `total` is null while more may come."""

    total: int | None
    done: int
    succeeded: int
    failed: int
    cancelled: int
    share: float | None


class RunStep(BaseModel):
    """A step of a pipeline's run. `total` is null before it begins; `passed`: items for which there was nothing to do."""

    name: str
    use: str
    status: Literal["waiting", "running", "succeeded", "skipped", "defaulted", "failed", "cancelled"]
    total: int | None
    done: int
    succeeded: int
    failed: int
    passed: int
    cost_usd: str
    tokens: int
    took_s: float | None
    error: str | None
    error_type: ErrorType | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None


class RunBudget(BaseModel):
    """What a run may cost. `reserved_usd`: of what is left so much is held for items that wait or run."""

    limit_usd: str
    spent_usd: str
    reserved_usd: str
    left_usd: str


class Run(BaseModel):
    """A run as it stands. `result` is there once it has ended, unless it is too large: then `result_url` has it as JSON Lines.

    Of a pipeline, `progress` counts steps, and `steps` tells of each. `note`: what whoever asked for it should know of its end.
    """

    run_id: str
    kind: RunKind
    name: str
    status: Status
    tenant: str
    progress: Counted
    cost_usd: str
    budget: RunBudget | None = None
    note: str | None = None
    tokens: int
    eta_s: float | None = None
    result: Any = None
    result_url: str
    items_url: str
    deliveries: list[Delivery] = []
    steps: list[RunStep] = []
    metadata: dict[str, Any]
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
