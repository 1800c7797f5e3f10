"""execute_prompt: a prompt of the library, run with the caller's variables."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator


class Input(BaseModel):
    """`prompt`: a slug, or the id that a result names. Without `version` the newest one at acceptance."""

    prompt: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    version: Annotated[int, Field(strict=True, ge=1)] | None = None
    label: str | None = None
    variables: dict[str, Any] = {}

    @field_validator("label", mode="before")
    @classmethod
    def _not_yet(cls, label: Any) -> None:
        """Ignoring it would run another version than the one meant."""
        if label is not None:
            raise ValueError("is not known in this version; name a `version`, or leave both out for the newest one")


class Used(BaseModel):
    """Which wording was run."""

    id: str
    slug: str
    version: int


class Output(BaseModel):
    """The answer as text; `parsed` when the prompt asks for JSON of its `output_schema`."""

    content: str
    parsed: Any = None
    prompt: Used
