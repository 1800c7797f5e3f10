# Made by `python -m scripts.client` from schemas/summarize.py; change it there.
"""summarize: a text in a few sentences."""

from typing import Annotated

from pydantic import BaseModel, Field

from genai_spine_client.schemas.text import Content, ShortText


class Input(BaseModel):
    """What to summarise and how."""

    content: Content
    max_sentences: Annotated[int, Field(ge=1, le=50, strict=True)] = 3
    style: ShortText | None = None
    focus: ShortText | None = None


class Output(BaseModel):
    """`summary` has at most `max_sentences` sentences."""

    summary: str
    key_points: list[str]
