"""What differs between two versions of a prompt, field by field."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Change:
    """One field. `lines`: as `diff -u` shows it."""

    field: str
    before: Any
    after: Any
    lines: tuple[str, ...]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The fields that differ, in the order in which a version names them."""
    fields = dict.fromkeys([*before, *after])
    return [
        Change(name, before.get(name), after.get(name), _lines(before.get(name), after.get(name)))
        for name in fields
        if before.get(name) != after.get(name)
    ]


def _lines(before: Any, after: Any) -> tuple[str, ...]:
    made = difflib.unified_diff(_text(before), _text(after), "before", "after", lineterm="")
    return tuple(made)[2:]


def _text(value: Any) -> list[str]:
    if value is None:
        return []
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return text.splitlines()
