# Made by `python -m scripts.client` from schemas/prompts.py; change it there.
"""The registry of prompts as others see it: what may be written, and what its topic tells."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from genai_spine_client.schemas.execute_prompt import Label
from genai_spine_client.schemas.text import ShortText

_Strict = ConfigDict(extra="forbid")
Slug = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)]
Tag = Annotated[str, StringConstraints(strict=True, pattern=r"^[\w.:/-]+$", max_length=64)]


class Wording(BaseModel):
    """What a version says. `template` is Jinja, as the prompt language allows it; `{% include "slug" %}` takes over another
    prompt's newest template, or `"slug@3"`'s, as it is now.
    """

    model_config = _Strict

    system: str | None = None
    template: Annotated[str, Field(strict=True, min_length=1)]
    variables: list[dict[str, Any]] = []
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    preferences: dict[str, Any] = {}


class About(BaseModel):
    """What a prompt is for; changed without a new version."""

    model_config = _Strict

    name: Annotated[str, Field(strict=True, max_length=255)] = ""
    description: Annotated[str, Field(strict=True, max_length=2000)] = ""
    category: Annotated[str, Field(strict=True, max_length=50)] = ""
    tags: Annotated[list[Tag], Field(max_length=50)] = []
    is_public: bool = False


class NewPrompt(About, Wording):
    """A prompt and its first version."""

    slug: Slug
    notes: Annotated[str, Field(strict=True, max_length=2000)] = "First version."


class Edit(BaseModel):
    """What is to be changed; what is left out stays. A change of what it says makes a new version, with `notes`."""

    model_config = _Strict

    name: Annotated[str, Field(strict=True, max_length=255)] | None = None
    description: Annotated[str, Field(strict=True, max_length=2000)] | None = None
    category: Annotated[str, Field(strict=True, max_length=50)] | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] | None = None
    is_public: bool | None = None
    system: str | None = None
    template: Annotated[str, Field(strict=True, min_length=1)] | None = None
    variables: list[dict[str, Any]] | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    preferences: dict[str, Any] | None = None
    notes: Annotated[str, Field(strict=True, min_length=1, max_length=2000)] | None = None


Weights = Annotated[dict[int, Annotated[int, Field(ge=1, le=1_000_000)]], Field(min_length=1, max_length=10)]
"""Version to weight."""


class Move(BaseModel):
    """Where a label goes: to one version, or to several by weight; and why."""

    model_config = _Strict

    label: Label
    version: Annotated[int, Field(strict=True, ge=1)] | None = None
    weights: Weights | None = None
    why: ShortText


class Stand(BaseModel):
    """What a label is to stand for: one `version`, or several by `weights`, such as `{"3": 90, "4": 10}`; and why."""

    model_config = _Strict

    version: Annotated[int, Field(strict=True, ge=1)] | None = None
    weights: Weights | None = None
    why: ShortText

    @model_validator(mode="after")
    def _one_of_two(self) -> "Stand":
        if (self.version is None) == (self.weights is None):
            raise ValueError('give either `version` or `weights`, such as {"3": 90, "4": 10}')
        return self

    def move(self, label: str) -> Move:
        """The same for that label. Raises ValidationError for what is no label."""
        return Move(label=label, version=self.version, weights=self.weights, why=self.why)


class Rollback(BaseModel):
    """Back to what a label stood for before its last move."""

    model_config = _Strict

    label: Label = "production"
    why: ShortText


class Render(BaseModel):
    """What a model would be sent."""

    model_config = _Strict

    version: Annotated[int, Field(strict=True, ge=1)] | None = None
    label: Label | None = None
    variables: dict[str, Any] = {}


class LabelMoved(BaseModel):
    """On the topic of prompts, by `prompt id|label`. `before`, `after`: version to weight; null: there was no such label."""

    event: Literal["label_moved"] = "label_moved"
    prompt_id: str
    tenant: str
    slug: str
    label: str
    before: dict[int, int] | None
    after: dict[int, int] | None
    who: str
    why: str
    at: AwareDatetime


class VersionMade(BaseModel):
    """On the topic of prompts, by `prompt id|version`."""

    event: Literal["version_made"] = "version_made"
    prompt_id: str
    tenant: str
    slug: str
    version: int
    digest: str
    who: str
    at: AwareDatetime
