"""What the API answers where it is no result and no run: requests, items, pipelines, schedules, models, pieces of chats.

Read leniently: what is not named here is kept too, since fields may be added. Prompts are in `schemas.registry`, usage and
costs in `schemas.books`.
"""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.errors import Failure
from schemas.result import Totals
from schemas.runs import Run
from schemas.schedules import Schedule


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


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


class ScheduleRemoved(_Told):
    """A schedule that is gone; its runs stay."""

    name: str
    removed: bool


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
