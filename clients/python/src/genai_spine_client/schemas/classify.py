# Made by `python -m scripts.client` from schemas/classify.py; change it there.
"""classify: which of the categories asked for a text belongs to."""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from genai_spine_client.schemas.text import Content, ShortText

MAX_CATEGORIES = 200


class Input(BaseModel):
    """`categories`: names, or {name: description}; each name once."""

    content: Content
    categories: (
        Annotated[
            list[ShortText],
            Field(json_schema_extra={"minItems": 1, "maxItems": MAX_CATEGORIES, "uniqueItems": True}),
        ]
        | Annotated[
            dict[ShortText, str], Field(json_schema_extra={"minProperties": 1, "maxProperties": MAX_CATEGORIES})
        ]
    )
    multi_label: Annotated[bool, Field(strict=True)] = False

    @field_validator("categories")
    @classmethod
    def _each_once(cls, categories: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        names = list(categories)
        if not names:
            raise ValueError("is empty; name at least one category")
        if len(names) > MAX_CATEGORIES:
            raise ValueError(f"has {len(names)} names; at most {MAX_CATEGORIES}")
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"names {', '.join(map(repr, doubled))} more than once")
        return categories


class Output(BaseModel):
    """`category` for one label, `categories` for many; every name in it was asked for."""

    category: str | None = None
    categories: list[str] | None = None
    confidence: float | None = None
    scores: dict[str, float] = {}
    rationale: str | None = None
