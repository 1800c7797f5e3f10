"""What the API answers about prompts: their versions and labels, and the arms of a label held against each other.

Read leniently: what is not named here is kept too, since fields may be added.
"""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


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
