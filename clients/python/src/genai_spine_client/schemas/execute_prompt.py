# Made by `python -m scripts.client` from schemas/execute_prompt.py; change it there.
"""execute_prompt: a prompt of the library, run with the caller's variables."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genai_spine_client.schemas.request import Name

Label = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
"""A name that a person moves from version to version, such as `production`."""


class Input(BaseModel):
    """`prompt`: a slug, or the id that a result names. `label` stands for the version that it names at acceptance; without both,
    `production` does where it is set, else the newest version. Where a label stands for several versions by weight, requests of
    the same `key` get the same one; without it the record's own key decides, else the request's id.
    """

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["version", "label"]}})

    prompt: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    version: Annotated[int, Field(strict=True, ge=1)] | None = None
    label: Label | None = None
    key: Name | None = None
    variables: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_of_two(self) -> "Input":
        if self.version is not None and self.label is not None:
            raise ValueError("give either `version` or `label`: a label stands for a version")
        return self


class Used(BaseModel):
    """Which wording was run. `label`: what it was found by at acceptance; null: its number, or because it was the newest."""

    id: str
    slug: str
    version: int
    label: str | None = None


class Output(BaseModel):
    """The answer as text; `parsed` when the prompt asks for JSON of its `output_schema`."""

    content: str
    parsed: Any = None
    prompt: Used
