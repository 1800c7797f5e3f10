"""What a double finds in a text: the categories whose own words occur in it, so that a test says what it wants found."""

import re
from collections.abc import Sequence
from typing import Any

from schemas.moderate import CATEGORIES

_WORDS = {name: re.compile(rf"\b{re.escape(name.partition('/')[2] or name)}\b", re.IGNORECASE) for name in CATEGORIES}
_FOUND, _NOT = 0.97, 0.0004


def results(texts: Sequence[str]) -> list[dict[str, Any]]:
    """As OpenAI's `omni-moderation` tells them."""
    return [_result(text) for text in texts]


def _result(text: str) -> dict[str, Any]:
    found = {name: look.search(text) is not None for name, look in _WORDS.items()}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: _FOUND if is_found else _NOT for name, is_found in found.items()},
        "category_applied_input_types": {name: ["text"] for name in found},
    }
