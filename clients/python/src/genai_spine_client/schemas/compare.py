# Made by `python -m scripts.client` from schemas/compare.py; change it there.
"""compare: what two or more texts share and where they differ."""

from typing import Annotated

from pydantic import BaseModel, Field

from genai_spine_client.schemas.text import Content, ShortText

MAX_ITEMS = 50


class Input(BaseModel):
    """`items`: the texts, numbered from 1 in the answer; `aspects`: what to compare them by, else whatever matters."""

    items: Annotated[list[Content], Field(min_length=2, max_length=MAX_ITEMS)]
    aspects: Annotated[list[ShortText], Field(min_length=1, max_length=20)] | None = None


class Output(BaseModel):
    """`similarity` is the model's own judgement, from 0 (nothing in common) to 1 (they say the same)."""

    similarities: list[str]
    differences: list[str]
    verdict: str
    similarity: float
