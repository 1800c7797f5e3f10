"""Whether OpenAI's strict mode takes a JSON Schema.

Strict mode is decoding that cannot leave the schema; without it a schema is a hint, and our own check with its one repair is
what holds. It takes a subset only (OpenAI's guide "Structured outputs", "Supported schemas"): every object closed, each of its
properties required, an object at the root, no keyword that the table here lacks. A schema that leaves objects open is closed
(what fits the closed one fits the open one); one that has optional properties is left as it is, since the model would have to
invent what may be left out.
"""

from typing import Any

_ANNOTATIONS = frozenset({"title", "default", "examples", "$schema", "$comment", "$id", "deprecated"})
"""They bind nothing and strict mode refuses some of them."""

_KEYWORDS = frozenset(
    {
        "type", "properties", "required", "additionalProperties", "description", "enum", "const", "anyOf", "items",
        "$ref", "$defs", "definitions", "pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "minItems", "maxItems",
    }
)  # fmt: skip
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_DEEPEST = 10
_MOST_PROPERTIES = 5000
_MOST_NAMES = 1000


class _NotStrict(Exception):
    """This schema must be sent as a hint."""


class _Limits:
    """What a whole schema may have at most."""

    def __init__(self) -> None:
        self.properties = 0
        self.enums = 0


def strict(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The schema to send, and whether strict mode takes it."""
    if schema.get("type") != "object" or "anyOf" in schema:
        return schema, False
    try:
        return _closed(schema, 1, _Limits()), True
    except _NotStrict:
        return schema, False


def _closed(schema: Any, depth: int, seen: _Limits) -> dict[str, Any]:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        raise _NotStrict
    kept = {name: value for name, value in schema.items() if name not in _ANNOTATIONS}
    if not set(kept) <= _KEYWORDS or kept.get("format", "date") not in _FORMATS:
        raise _NotStrict
    seen.enums += len(kept.get("enum", ()))
    if seen.enums > _MOST_NAMES:
        raise _NotStrict
    if _is_object(kept):
        kept = _closed_object(kept, depth, seen)
    if "items" in kept:
        kept["items"] = _closed(kept["items"], depth + 1, seen)
    if "anyOf" in kept:
        kept["anyOf"] = [_closed(each, depth + 1, seen) for each in kept["anyOf"]]
    for name in ("$defs", "definitions"):
        if name in kept:
            kept[name] = {key: _closed(each, 1, seen) for key, each in kept[name].items()}
    if not {"type", "enum", "const", "anyOf", "$ref"} & set(kept):
        raise _NotStrict  # it would take anything
    return kept


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return "properties" in schema or kind == "object" or (isinstance(kind, list) and "object" in kind)


def _closed_object(schema: dict[str, Any], depth: int, seen: _Limits) -> dict[str, Any]:
    properties = schema.get("properties", {})
    optional = set(properties) - set(schema.get("required", ()))
    unnamed = set(schema.get("required", ())) - set(properties)
    seen.properties += len(properties)
    is_open = schema.get("additionalProperties", False) is not False or not properties
    if optional or unnamed or is_open or seen.properties > _MOST_PROPERTIES:
        raise _NotStrict
    inner = {name: _closed(each, depth + 1, seen) for name, each in properties.items()}
    return schema | {"properties": inner, "required": list(properties), "additionalProperties": False}
