# Made by `python -m scripts.client` from schemas/text.py; change it there.
"""Texts that users send: never blank, never half of a surrogate pair (UTF-8 cannot carry one)."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict, JsonValue


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank; send the text to work on")
    return text


Content = Annotated[str, Field(strict=True, json_schema_extra={"pattern": r"\S"}), AfterValidator(_not_blank)]
"""The text to work on."""

ShortText = Annotated[
    str, Field(strict=True, max_length=2000, json_schema_extra={"pattern": r"\S"}), AfterValidator(_not_blank)
]
"""A wish in words: a style, a focus, a description."""


def exactly_one(*names: str) -> JsonDict:
    """For a model's published schema: one of these fields is given and is not null, as its validator demands."""
    given: list[JsonValue] = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]
    return {"oneOf": given}
