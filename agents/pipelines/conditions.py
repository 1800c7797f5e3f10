"""Whether a step's `when` holds. Pure: a table of comparisons, no expressions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from agents.pipelines import references
from agents.pipelines.references import Given, Missing, Node
from schemas.pipelines import Condition


def _ordered(value: Any, other: Any) -> tuple[Any, Any]:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (value, other))
    if numbers or (isinstance(value, str) and isinstance(other, str)):
        return value, other
    raise Missing(f"`when` compares {_kind(value)} with {_kind(other)}; above and below take two numbers or two texts")


def _above(value: Any, other: Any) -> bool:
    value, other = _ordered(value, other)
    return bool(value > other)


def _below(value: Any, other: Any) -> bool:
    value, other = _ordered(value, other)
    return bool(value < other)


def _contains(value: Any, other: Any) -> bool:
    if isinstance(value, str):
        return isinstance(other, str) and other in value
    return isinstance(value, list | dict) and other in value


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "equals": lambda value, other: bool(value == other),
        "not_equals": lambda value, other: bool(value != other),
        "among": lambda value, other: isinstance(other, list) and value in other,
        "contains": _contains,
        "above": _above,
        "below": _below,
        "is_empty": lambda value, other: (value in (None, "", [], {})) is bool(other),
    }
)


def tree(when: Condition | str | bool | None) -> list[Node]:
    """All that it refers to. Raises `BadReference`."""
    if not isinstance(when, Condition):
        return [references.read(when)]
    if when.not_ is not None:
        return tree(when.not_)
    if (joined := when.all or when.any) is not None:
        return [node for each in joined for node in tree(each)]
    other = None if when.compares is None else getattr(when, when.compares)
    return [references.read(when.value), references.read(other)]


def holds(when: Condition | str | bool | None, given: Given) -> bool:
    """None always does. Raises `Missing`."""
    if when is None:
        return True
    if not isinstance(when, Condition):
        return bool(references.filled(references.read(when), given))
    if when.not_ is not None:
        return not holds(when.not_, given)
    if (joined := when.all or when.any) is not None:
        join = any if when.all is None else all
        return join(holds(each, given) for each in joined)
    return _compared(when, given)


def _compared(when: Condition, given: Given) -> bool:
    value = references.filled(references.read(when.value), given)
    if when.compares is None:
        return bool(value)
    return COMPARISONS[when.compares](value, references.filled(references.read(getattr(when, when.compares)), given))


def _kind(value: Any) -> str:
    kinds = {str: "a text", bool: "a truth value", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")
