"""A JSON Schema as Claude's structured output takes it: a part of the language, in which every object is closed.

What the part cannot say but a model can read (bounds, lengths, patterns) is written into the description, and whoever asked
checks the answer anyway. What cannot be said at all makes the schema unfit: free objects, recursion, tuples.
"""

from typing import Any

_SAID = ("title", "description", "default", "enum", "const")
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
_SILENT = frozenset({"$schema", "$id", "$comment", "examples"})
_NOWHERE = ("patternProperties", "prefixItems", "allOf", "not", "if", "dependentSchemas", "contains", "propertyNames")
_DEFINED = ("$defs", "definitions")


class _Unfit(Exception):
    """There is no way to say this."""


def fitted(schema: dict[str, Any]) -> dict[str, Any] | None:
    """A schema whose instances are instances of `schema`, but for what only its descriptions say; None: there is none."""
    try:
        defined = {place: schema[place] for place in _DEFINED if isinstance(schema.get(place), dict)}
        made = _node({name: value for name, value in schema.items() if name not in _DEFINED})
        parts = {place: {name: _node(each) for name, each in found.items()} for place, found in defined.items()}
        _check_references(made | parts)
    except (_Unfit, RecursionError):
        return None
    return made | parts


def _node(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict) or any(name in schema for name in _NOWHERE):
        raise _Unfit
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    rest = {name: value for name, value in schema.items() if name not in _SILENT}
    said = {name: rest.pop(name) for name in _SAID if name in rest}
    made = _typed(rest, said)
    if rest:
        bounds = ", ".join(f"{name}: {value}" for name, value in rest.items())
        said["description"] = f"{said.get('description', '')} ({bounds})".strip()
    return said | made


def _typed(rest: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What of `rest` it can say, which is taken out of it."""
    choices = rest.pop("anyOf", None) or rest.pop("oneOf", None)
    kind = rest.pop("type", None)
    if isinstance(choices, list):
        return {"anyOf": [_node(choice) for choice in choices]}
    if isinstance(kind, list):
        enum = said.pop("enum", None)
        typed = [_only(each, dict(rest), enum) for each in kind]
        rest.clear()
        return {"anyOf": typed}
    _check_scalars(said)
    match kind:
        case "object":
            return _object(rest)
        case "array":
            return _array(rest)
        case "string" | "integer" | "number" | "boolean" | "null":
            form = {"format": rest.pop("format")} if kind == "string" and rest.get("format") in _FORMATS else {}
            return {"type": kind, **form}
    if kind is None and ("enum" in said or "const" in said):
        return {}
    raise _Unfit


def _only(kind: Any, rest: dict[str, Any], enum: Any) -> dict[str, Any]:
    """One of several types, with those values of an enum that are of it."""
    if kind == "null":
        return {"type": "null"}
    values = None if enum is None else [value for value in enum if value is not None]
    return _node({"type": kind, **rest} | ({} if values is None else {"enum": values}))


def _check_scalars(said: dict[str, Any]) -> None:
    values = [*said.get("enum", ()), said.get("const")]
    if any(isinstance(value, dict | list) for value in values):
        raise _Unfit


def _object(rest: dict[str, Any]) -> dict[str, Any]:
    more = rest.pop("additionalProperties", None)
    properties = rest.pop("properties", None)
    if isinstance(more, dict) or (not properties and more is not False):
        raise _Unfit  # any keys at all may be meant
    required = rest.pop("required", None)
    made = {name: _node(each) for name, each in (properties or {}).items()}
    kept = {} if required is None else {"required": required}
    if any(name not in made for name in required or ()):
        raise _Unfit
    return {"type": "object", "properties": made, "additionalProperties": False} | kept


def _array(rest: dict[str, Any]) -> dict[str, Any]:
    items = _node(rest.pop("items", None))
    least = {"minItems": rest.pop("minItems")} if rest.get("minItems") in (0, 1) else {}
    return {"type": "array", "items": items} | least


def _check_references(whole: dict[str, Any]) -> None:
    """Each leads to a definition at the root, and none back to itself."""
    targets = {f"#/{place}/{name}": each for place in _DEFINED for name, each in whole.get(place, {}).items()}
    _Walk(targets).over({name: value for name, value in whole.items() if name not in _DEFINED})
    for target in targets.values():
        _Walk(targets).over(target)


class _Walk:
    """Over a schema and what it refers to; each definition once, however many ways lead there."""

    def __init__(self, targets: dict[str, Any]) -> None:
        self._targets = targets
        self._above: list[str] = []
        self._done: set[str] = set()

    def over(self, found: Any) -> None:
        if isinstance(found, list):
            for each in found:
                self.over(each)
        if not isinstance(found, dict):
            return
        if isinstance(reference := found.get("$ref"), str):
            self._follow(reference)
        for name, each in found.items():
            if name == "properties":
                self.over(list(each.values()))
            elif name not in _SAID:
                self.over(each)

    def _follow(self, reference: str) -> None:
        if reference not in self._targets or reference in self._above:
            raise _Unfit
        if reference not in self._done:
            self._above.append(reference)
            self.over(self._targets[reference])
            self._above.pop()
            self._done.add(reference)
