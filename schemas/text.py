"""Texts that users send: never blank, never half of a surrogate pair (UTF-8 cannot carry one)."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank; send the text to work on")
    return text


Content = Annotated[str, Field(strict=True), AfterValidator(_not_blank)]
"""The text to work on."""

ShortText = Annotated[str, Field(strict=True, max_length=2000), AfterValidator(_not_blank)]
"""A wish in words: a style, a focus, a description."""
