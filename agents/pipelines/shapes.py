"""What a value may be, as far as a JSON Schema says it: what lies below it, and whether it can stand somewhere else. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel

from schemas.pipelines import Declared

_OF: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
}
_SAID = {
    "string": "text",
    "array": "list",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
}
_TYPES: Mapping[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
    "list": {"type": "array"},
    "any": {},
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON Schema and what its references mean."""

    schema: Mapping[str, Any]
    defs: Mapping[str, Any] = field(default_factory=dict)

    def alternatives(self) -> list["Shape"]:
        """It, without references and choices; null left out, as what was skipped is null everywhere."""
        schema = self.schema
        if "$ref" in schema:
            return Shape(self.defs.get(str(schema["$ref"]).rpartition("/")[2], {}), self.defs).alternatives()
        for name in ("anyOf", "oneOf"):
            if name in schema:
                return [found for each in schema[name] for found in Shape(each, self.defs).alternatives()]
        if len(schema.get("allOf", ())) == 1:
            return Shape(schema["allOf"][0], self.defs).alternatives()
        return [] if schema.get("type") == "null" else [self]

    def types(self) -> frozenset[str]:
        """Its JSON types; none: anything."""
        found: set[str] = set()
        for each in self.alternatives():
            said = each.schema.get("type")
            values = [each.schema["const"]] if "const" in each.schema else each.schema.get("enum", ())
            if isinstance(said, str):
                found.add(said)
            elif isinstance(said, list):
                found.update(said)
            elif values:
                found.update(_OF.get(type(value), "null") for value in values)
            else:
                return frozenset()
        return frozenset(found - {"null"})

    def below(self, name: str) -> "Shape | None":
        """What lies under that name; None: nothing can."""
        found = [Shape(each.schema["properties"][name], self.defs) for each in self._objects() if name in each.fields()]
        if found:
            return found[0]
        open_ = any(
            each.schema.get("additionalProperties") is not False and not each.fields() for each in self._objects()
        )
        return ANYTHING if open_ or not self.types() else None

    def fields(self) -> list[str]:
        return list(self.schema.get("properties", {}))

    def names(self) -> list[str]:
        """Of all that can lie below."""
        return sorted({name for each in self.alternatives() for name in each.fields()})

    def item(self) -> "Shape | None":
        """What a list of this shape holds; None: it is no list."""
        for each in self.alternatives():
            if each.schema.get("type") == "array":
                items = each.schema.get("items")
                return Shape(items, self.defs) if isinstance(items, Mapping) else ANYTHING
        return None if self.types() else ANYTHING

    def _objects(self) -> list["Shape"]:
        return [each for each in self.alternatives() if each.schema.get("type") == "object"]


ANYTHING = Shape({})


@cache
def taken(model: type[BaseModel]) -> Shape:
    """What a model is made of."""
    schema = model.model_json_schema(mode="validation")
    return Shape(schema, schema.get("$defs", {}))


@cache
def given(model: type[BaseModel]) -> Shape:
    """What becomes of it as JSON."""
    schema = model.model_json_schema(mode="serialization")
    return Shape(schema, schema.get("$defs", {}))


def listed(of: Shape) -> Shape:
    """A list of these."""
    return Shape({"type": "array", "items": of.schema}, of.defs)


def of_input(type_: str, of: str = "any") -> Shape:
    """Of an input as a definition words it."""
    return Shape(_TYPES["list"] | {"items": _TYPES[of]}) if type_ == "list" else Shape(_TYPES[type_])


def of_value(value: Any) -> Shape:
    """Of a plain value of a definition."""
    if isinstance(value, list):
        return Shape({"type": "array"})
    return ANYTHING if value is None else Shape({"type": _OF.get(type(value), "string")})


def fits(source: Shape, wanted: Shape) -> bool:
    """Whether any value of the one can be a value of the other; whatever is not known fits."""
    has, wants = source.types(), wanted.types()
    if not has or not wants:
        return True
    numbers = {"integer", "number"}
    both = (has & wants) | (numbers if has & numbers and wants & numbers else set())
    if not both:
        return False
    if both != {"array"}:
        return True
    inner, wished = source.item(), wanted.item()
    return inner is None or wished is None or fits(inner, wished)


def word(shape: Shape) -> str:
    """What it is, in a definition's words."""
    return " or ".join(sorted(_SAID.get(each, each) for each in shape.types())) or "anything"


def wrong(value: Any, type_: str, of: str = "any") -> str | None:
    """Why a value is no input of that type; None: it is one."""
    if type_ == "any":
        return None
    if value is None or not fits(of_value(value), of_input(type_)) or (type_ == "integer" and isinstance(value, float)):
        return f"is {_kind(value)}; give {_article(type_)}"
    if type_ == "list" and of != "any":
        for number, each in enumerate(value):
            if (why := wrong(each, of)) is not None:
                return f"at [{number}] {why}"
    return None


def wrong_input(value: Any, told: Declared) -> str | None:
    """Why a value is not this input; None: it is."""
    why = wrong(value, told.type, told.of)
    if why is None and told.among and value not in told.among:
        return f"is {json.dumps(value)[:200]}; it may be {' or '.join(json.dumps(each) for each in told.among)}"
    return why


def _kind(value: Any) -> str:
    return "null" if value is None else _article(_SAID[_OF.get(type(value), "string")])


def _article(word_: str) -> str:
    return f"an {word_}" if word_[0] in "aeiou" else f"a {word_}"
