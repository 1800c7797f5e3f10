"""Forms filled in from the parts of one text, as one form.

Lists are joined, each item once; objects are merged field by field; of a single value the first one that says something
counts, and a warning names the fields on which the parts disagree. What comes out must fit the user's schema again.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from agents.base import Caller
from agents.reading import TooLong

_NAMED = 10
"""Fields that a warning names."""


def check(schema: dict[str, Any]) -> None:
    """Raises TooLong for a schema of a single value: of one answer per part nobody can say which is right."""
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not {None, "object", "array"} & set(kinds):
        raise TooLong(
            f"The content is longer than the model's context, and answers of the type {', '.join(map(str, kinds))} cannot be "
            "merged from parts. Ask for an object or an array, send a shorter text, or use a model with a longer context."
        )


def merge(values: Sequence[Any], accept: Callable[[Any], Any], caller: Caller) -> Any:
    """The parts' values, in the order of the text, as one that `accept` takes."""
    disagreed: list[str] = []
    merged = values[0]
    for value in values[1:]:
        merged = _two(merged, value, "", disagreed)
    try:
        accepted = accept(merged)
    except ValueError as error:
        raise TooLong(
            f"The content was read in {len(values)} parts, and what they say together does not fit the schema: {error}. "
            "Loosen the schema, send a shorter text, or use a model with a longer context.",
            parts=len(values),
        ) from error
    fields = list(dict.fromkeys(disagreed))
    if fields:
        more = f" and {len(fields) - _NAMED} more" if len(fields) > _NAMED else ""
        caller.warn(
            f"the parts disagree on {', '.join(fields[:_NAMED])}{more}; the first one that says something was taken"
        )
    return accepted


def _two(first: Any, second: Any, path: str, disagreed: list[str]) -> Any:
    if _says_nothing(second) or first == second:
        return first
    if _says_nothing(first):
        return second
    if isinstance(first, dict) and isinstance(second, dict):
        names = [*first, *(name for name in second if name not in first)]
        return {
            name: _two(first.get(name), second.get(name), f"{path}.{name}" if path else name, disagreed)
            for name in names
        }
    if isinstance(first, list) and isinstance(second, list):
        return _each_once([*first, *second])
    disagreed.append(path or "the answer")
    return first


def _says_nothing(value: Any) -> bool:
    """Empty, but no answer like 0 or false."""
    return value is None or value in ("", [], {})


def _each_once(items: list[Any]) -> list[Any]:
    """Two items are the same when they are the same JSON: 1 and true are not."""
    known: dict[str, Any] = {}
    for item in items:
        known.setdefault(json.dumps(item, sort_keys=True), item)
    return list(known.values())
