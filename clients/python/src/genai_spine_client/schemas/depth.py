# Made by `python -m scripts.client` from schemas/depth.py; change it there.
"""How deep JSON is nested. Readers and writers of JSON stop at different depths, so what comes in is bounded below all of them."""

from typing import Any

MAX_DEPTH = 200
"""Levels of a record; beyond, Pydantic does not read it again."""
MAX_ANSWER_DEPTH = 150
"""Levels of a model's answer: its result is nested deeper, and read by others."""


def is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects stand in each other on more than `most` levels."""
    level = _containers([value])
    for _ in range(most):
        level = [inner for each in level for inner in _containers(each)]
        if not level:
            return False
    return True


def may_be_deeper(raw: bytes, most: int) -> bool:
    """By its brackets alone, which is quick: False is certain."""
    return raw.count(b"[") + raw.count(b"{") > most


def _containers(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inside if isinstance(each, dict | list)]
