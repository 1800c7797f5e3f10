# Made by `python -m scripts.client` from schemas/embed.py; change it there.
"""embed: texts as unit vectors."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genai_spine_client.schemas.text import Content, exactly_one

MAX_TEXTS = 2048


class Input(BaseModel):
    """Either `texts` or one `content`."""

    model_config = ConfigDict(json_schema_extra=exactly_one("texts", "content"))

    texts: Annotated[list[Content], Field(min_length=1, max_length=MAX_TEXTS)] | None = None
    content: Content | None = None
    dimensions: Annotated[int, Field(ge=1, le=65_536, strict=True)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Input":
        if (self.texts is None) == (self.content is None):
            raise ValueError("give either `texts` or `content`")
        return self


class Output(BaseModel):
    """One vector per text, in their order."""

    embeddings: list[list[float]]
    dimensions: int
