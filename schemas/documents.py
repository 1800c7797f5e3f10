"""Documents as they are sent: a text as it is, or the bytes of a file in base64."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.text import exactly_one

Title = Annotated[str, Field(strict=True, min_length=1, max_length=500)]


class NewDocument(BaseModel):
    """`content` is its text; `base64` its bytes. Text, Markdown, HTML or PDF: `media_type` says which, else the bytes and the name do."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=exactly_one("content", "base64"))

    name: Title | None = None
    content: Annotated[str, Field(strict=True)] | None = None
    base64: Annotated[str, Field(strict=True)] | None = None
    media_type: Annotated[str, Field(strict=True, max_length=200)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "NewDocument":
        if (self.content is None) == (self.base64 is None):
            raise ValueError("give either `content`, its text, or `base64`, its bytes")
        return self
