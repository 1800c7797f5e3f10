# Made by `python -m scripts.client` from schemas/rewrite.py; change it there.
"""rewrite: a text in other words."""

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from genai_spine_client.schemas.text import Content, ShortText


class Input(BaseModel):
    """At least one of `instructions`, `tone`, `max_words` says what is wanted."""

    content: Content
    instructions: ShortText | None = None
    tone: ShortText | None = None
    max_words: Annotated[int, Field(ge=1, le=100_000, strict=True)] | None = None

    @model_validator(mode="after")
    def _something_is_wanted(self) -> "Input":
        if self.instructions is None and self.tone is None and self.max_words is None:
            raise ValueError("give `instructions`, `tone` or `max_words`: what should be different?")
        return self


class Output(BaseModel):
    """`content` has at most `max_words` words."""

    content: str
