# Made by `python -m scripts.client` from schemas/answers.py; change it there.
"""What the API answers where it is no result and no run: lists, books, and how things stand.

Read leniently: what is not named here is kept too, since fields may be added.
"""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genai_spine_client.schemas.errors import Failure
from genai_spine_client.schemas.result import Totals
from genai_spine_client.schemas.runs import Run
from genai_spine_client.schemas.schedules import Schedule

_Lenient = ConfigDict(extra="allow")


class _Told(BaseModel):
    model_config = _Lenient


class Standing(_Told):
    """A request that has not ended, as far as whoever asks is told: an answer 202 has only the first ones."""

    request_id: str
    tenant: str
    operation: str
    status: Literal["unfinished"]
    status_url: str | None = None
    state: str | None = None
    lane: str | None = None
    provider: str | None = None
    model: str | None = None
    attempts: int = 0
    generation: int = 1
    age_s: float = 0.0
    progress: dict[str, Any] | None = None
    queue: dict[str, Any] | None = None
    calls: list[dict[str, Any]] = []


class RequestItem(_Told):
    """A request in a list."""

    request_id: str
    tenant: str
    operation: str
    status: str
    state: str
    lane: str
    provider: str | None
    model: str | None
    attempts: int
    generation: int
    run_id: str | None
    error_type: str | None
    requested_at: AwareDatetime | None
    accepted_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    took_s: float | None
    status_url: str


class RequestPage(_Told):
    """`next`: the cursor of the page behind it; null: there is none."""

    items: list[RequestItem]
    next: str | None


class Cancelled(_Told):
    """What has become of a cancel: `cancelled`, `stopping`, or `kept` for a request that nobody knows yet."""

    request_id: str
    tenant: str
    operation: str
    cancel: str
    status: str
    status_url: str | None


class RunCancelled(_Told):
    """Of a run that was submitted: how it stands. Of one that requests only name: how many had not ended."""

    run_id: str
    tenant: str
    status: str | None = None
    cancel: str | None = None
    unfinished: int | None = None


class RunRetried(Run):
    """A run that goes on, and how many items are run again."""

    retried: int


class RunPage(_Told):
    """Runs, newest first, without their results."""

    items: list[Run]
    next: str | None


class Item(_Told):
    """One of a run's: `output` where it succeeded, `error` where it did not, neither while it is unfinished. `step`: of a pipeline."""

    index: int
    id: str
    step: str | None = None
    status: str
    output: dict[str, Any] | None = None
    error: Failure | None = None
    usage: Totals | None = None
    warnings: list[str] = []
    metadata: dict[str, Any] = {}


class ItemPage(_Told):
    """In the order of the input."""

    items: list[Item]
    next: str | None


class PipelineItem(_Told):
    """A pipeline's definition. `mermaid`, a drawing, is there where one is asked for by its name."""

    name: str
    description: str
    inputs: dict[str, dict[str, Any]] = {}
    steps: list[dict[str, Any]]
    collect: Any = None
    mermaid: str | None = None


class PipelineList(_Told):
    """All that can be run here, by name."""

    items: list[PipelineItem]


class PromptItem(_Told):
    """A prompt in a list. `tenant` is null for those that come with the program."""

    id: str
    slug: str
    tenant: str | None
    name: str
    description: str
    category: str
    tags: list[str]
    is_system: bool
    is_public: bool
    created_by: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    archived_at: AwareDatetime | None
    version: int
    revision: int


class PromptVersion(_Told):
    """One version, as it was written."""

    version: int
    digest: str
    template: str
    system: str | None = None
    variables: list[dict[str, Any]] = []
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    preferences: dict[str, Any] = {}
    notes: str | None = None
    created_by: str | None
    created_at: AwareDatetime


class Prompt(PromptItem):
    """A prompt with its newest version. A label stands for a version, or for several by weight."""

    labels: dict[str, int | dict[str, int]]
    current: PromptVersion


class PromptPage(_Told):
    """Prompts, lately changed first."""

    items: list[PromptItem]
    next: str | None


class VersionItem(_Told):
    """A version in a list."""

    version: int
    digest: str
    notes: str | None
    labels: list[str]
    created_by: str | None
    created_at: AwareDatetime


class VersionList(_Told):
    """Newest first."""

    items: list[VersionItem]


class FieldChange(_Told):
    """`diff`: lines as `diff -u` shows them."""

    field: str
    before: Any = Field(alias="from")
    after: Any = Field(alias="to")
    diff: list[str]


class Difference(_Told):
    """Between two versions, field by field."""

    slug: str
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    same: bool
    changes: list[FieldChange]


class LabelMove(_Told):
    """Who moved a label, when and why."""

    label: str
    before: int | dict[str, int] | None = Field(alias="from")
    after: int | dict[str, int] | None = Field(alias="to")
    who: str | None
    why: str
    at: AwareDatetime


class Labels(_Told):
    """What each label stands for, and every move, newest first."""

    slug: str
    labels: dict[str, int | dict[str, int]]
    history: list[LabelMove]


class Rendered(_Told):
    """What a model would be sent."""

    slug: str
    version: int
    label: str | None
    system: str | None
    user: str


class VersionDid(_Told):
    """What one version did."""

    version: int
    calls: int
    failures: int
    wasted: int
    input_tokens: int
    output_tokens: int
    cost_usd: str | None
    unpriced_calls: int
    latency_ms: dict[str, float | None]
    last_at: AwareDatetime


class Executions(_Told):
    """What a prompt's versions did since a moment."""

    slug: str
    since: AwareDatetime
    versions: list[VersionDid]


class Between(_Told):
    """A figure and the interval in which it is, at the report's confidence."""

    value: float
    low: float | None
    high: float | None


class Share(_Told):
    """A share of requests and the interval in which it is; `share` None: there are none."""

    share: float | None
    low: float
    high: float
    of: int


class ArmCost(_Told):
    """In dollars: an exact decimal string, and the mean of a request."""

    total: str
    mean: Between | None
    unpriced_requests: int


class ArmDid(_Told):
    """What the requests did for which a label chose this version. `share`: how many it gets now; None: it is no arm any more."""

    version: int
    arm: str
    share: float | None
    requests: int
    ended: int
    success: Share
    schema_valid: Share | None
    cost_usd: ArmCost
    latency_ms: dict[str, Between | None]


class ArmDifference(_Told):
    """One figure of two versions held against each other. None: too few requests to say."""

    version: int
    against: int
    what: Literal["success", "schema_valid", "cost_usd", "latency_ms"]
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    more_than_noise: bool | None
    words: str


class Arms(_Told):
    """The arms of a label held against each other; `words`: the whole in one sentence."""

    slug: str
    label: str
    since: AwareDatetime = Field(alias="from")
    until: AwareDatetime = Field(alias="to")
    confidence: float
    against: int | None
    arms: list[ArmDid]
    differences: list[ArmDifference]
    words: str
    cut_off: bool


class ScheduleRemoved(_Told):
    """A schedule that is gone; its runs stay."""

    name: str
    removed: bool


class Sums(_Told):
    """Calls, tokens and money. `cost_usd` is an exact decimal string."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    unpriced_calls: int
    cost_usd: str | None


class UsageRow(Sums):
    """One group: the values that it has in common stand beside, under their own names."""

    wasted: int = 0
    errors: int = 0


class Usage(_Told):
    """Every call that ended, grouped. `whole_from`: the first day whose calls were not pruned."""

    by: str
    first: str = Field(alias="from")
    last: str = Field(alias="to")
    whole_from: str | None = None
    items: list[UsageRow]
    totals: Sums


class CostDay(Sums):
    """What one model cost one tenant on one UTC day."""

    date: str
    provider: str
    model: str
    tenant: str


class RouteSaved(_Told):
    """By waiting for a model that costs less than the route's next one."""

    route: str
    requests: int
    saved_usd: str | None


class TierSaved(_Told):
    """By a cheaper tier of a provider."""

    tier: str
    provider: str
    model: str
    requests: int
    saved_usd: str | None


class Savings(_Told):
    """What requests cost less since they had time; nothing is counted twice."""

    routes: list[RouteSaved] = []
    tiers: list[TierSaved] = []
    saved_usd: str | None


class Costs(_Told):
    """`days`, or `items` where it was asked for by groups."""

    by: str | None = None
    first: str = Field(alias="from")
    last: str = Field(alias="to")
    whole_from: str | None = None
    days: list[CostDay] = []
    items: list[UsageRow] = []
    totals: Sums
    savings: Savings | None = None


class Correction(_Told):
    """By how much a day's calls were more than what had been added up; `more` has what was wrong of calls and tokens."""

    date: str
    provider: str
    model: str
    tenant: str
    difference_usd: str
    more: dict[str, int]
    run_id: str
    at: AwareDatetime


class Corrections(_Told):
    """What was put right of days."""

    first: str = Field(alias="from")
    last: str = Field(alias="to")
    items: list[Correction]


class ScheduleLeader(_Told):
    """Who fires the schedules."""

    worker: str
    since: AwareDatetime


class ScheduleFile(_Told):
    """Whether the file of schedules can be used as it is now."""

    ok: bool
    why: str


class ScheduleList(_Told):
    """All schedules, by name."""

    items: list[Schedule]
    leader: ScheduleLeader | None
    file: ScheduleFile


class ModelItem(_Told):
    """`id` is what `options.model` takes, `owned_by` what `options.provider` takes."""

    id: str
    object: Literal["model"]
    owned_by: str
    kind: str | None = None
    loaded: bool | None = None
    context_tokens: int | None = None
    price: dict[str, Any] | None = None


class ProviderItem(_Told):
    """Whether all of it answers."""

    name: str
    ok: bool
    why: str


class ModelList(_Told):
    """What can be called now."""

    object: Literal["list"]
    data: list[ModelItem]
    providers: list[ProviderItem] = []


class ChunkChoice(_Told):
    """A piece of one answer, in OpenAI's shape: `delta` has `content`, `tool_calls` or `role`."""

    index: int
    delta: dict[str, Any]
    finish_reason: str | None = None


class ChatChunk(_Told):
    """A piece of a chat while it is made."""

    id: str
    model: str
    choices: list[ChunkChoice]
    usage: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The words that this piece adds."""
        return "".join(choice.delta.get("content") or "" for choice in self.choices if choice.index == 0)
