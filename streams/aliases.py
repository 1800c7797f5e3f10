"""Other names of an input's fields, as the first application called them: in runs, and in the flat bodies of the HTTP door."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_EVERY: Mapping[str, str] = MappingProxyType({"text": "content"})
_OWN: Mapping[str, Mapping[str, str]] = MappingProxyType({"execute_prompt": {"prompt_id": "prompt"}})
"""Of one operation alone: a `prompt` of another one is the text itself."""


def of(operation: str) -> Mapping[str, str]:
    """Each other name, and the field that it stands for."""
    return {**_EVERY, **_OWN.get(operation, {})}


def own_names(operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields by their own names."""
    others = of(operation)
    return {others.get(name, name): value for name, value in fields.items()}
