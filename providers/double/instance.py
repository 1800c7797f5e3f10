"""A small valid instance of a JSON Schema, its strings taken from a text. `pattern`, `not` and `if` are not obeyed."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from providers.double.faults import chance

_WORD = re.compile(r"\S+")
_NAME = re.compile(r"[A-ZÀ-ÖØ-Þ][\w&.-]*\w")

_SHORT = ("text", "name", "entity", "value", "title", "label", "type")
"""Fields that want a word, where others get a phrase."""

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "fake@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_DEEPEST = 12
"""Below this depth only what is required is made: a schema may refer to itself."""


@dataclass(slots=True)
class Source:
    """A text to take words from, and a seed. Each taking moves on, so that neighbours differ."""

    text: str
    seed: object
    _taken: int = 0
    _spans: list[tuple[int, int]] = field(default_factory=list)

    def chance(self) -> float:
        self._taken += 1
        return chance(self.seed, self._taken, self.text[:64])

    def phrase(self, words: int) -> str:
        """At most that many words that follow each other in the text, exactly as they stand there."""
        if not self._spans:
            self._spans = [match.span() for match in _WORD.finditer(self.text[:20_000])] or [(0, 0)]
        first = int(self.chance() * max(1, len(self._spans) - words + 1))
        last = min(len(self._spans), first + words) - 1
        return self.text[self._spans[first][0] : self._spans[last][1]] or "nothing"

    def name(self) -> str:
        """A word with a capital, as names have; else any word."""
        names = _NAME.findall(self.text[:20_000])
        return str(names[int(self.chance() * len(names))]) if names else self.phrase(1)


def instance(schema: Any, source: Source, root: Any = None, key: str = "", depth: int = 0) -> Any:
    """`key` is the name of the field that is made."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return None if schema is False else source.phrase(3)
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][int(source.chance() * len(schema["enum"]))]
    makers: dict[str, Callable[[], Any]] = {
        "object": lambda: _object(schema, source, root, depth),
        "array": lambda: _array(schema, source, root, key, depth),
        "string": lambda: _string(schema, source, key),
        "integer": lambda: _number(schema, source, whole=True),
        "number": lambda: _number(schema, source, whole=False),
        "boolean": lambda: source.chance() < 0.5,
    }
    return makers.get(_type(schema), lambda: None)()


def _resolved(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    """`$ref` (inside the document), `allOf` merged, `anyOf` and `oneOf` chosen: the first that is not null."""
    for _ in range(_DEEPEST):
        if isinstance(reference := schema.get("$ref"), str):
            schema = {name: value for name, value in schema.items() if name != "$ref"} | _target(reference, root)
        elif parts := schema.get("allOf"):
            schema = _merged([{name: value for name, value in schema.items() if name != "allOf"}, *parts])
        elif choices := schema.get("anyOf") or schema.get("oneOf"):
            chosen = next((each for each in choices if _type(each) != "null"), choices[0])
            schema = {name: value for name, value in schema.items() if name not in ("anyOf", "oneOf")} | chosen
        else:
            break
    return schema


def _target(reference: str, root: Any) -> dict[str, Any]:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        properties = whole.get("properties", {}) | part.get("properties", {})
        required = [*whole.get("required", []), *part.get("required", [])]
        whole |= part
        whole |= ({"properties": properties} if properties else {}) | ({"required": required} if required else {})
    return whole


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "string"
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    signs = {
        "properties": "object",
        "required": "object",
        "items": "array",
        "prefixItems": "array",
        "minimum": "number",
    }
    return next((kind for sign, kind in signs.items() if sign in schema), "string")


def _object(schema: dict[str, Any], source: Source, root: Any, depth: int) -> dict[str, Any]:
    known = schema.get("properties", {})
    wanted = [*known, *(name for name in schema.get("required", ()) if name not in known)]
    if depth >= _DEEPEST:
        wanted = [name for name in wanted if name in schema.get("required", ())]
    return {name: instance(known.get(name, {}), source, root, name, depth + 1) for name in wanted}


def _array(schema: dict[str, Any], source: Source, root: Any, key: str, depth: int) -> list[Any]:
    least = int(schema.get("minItems", 0))
    wished = max(least, 0 if depth >= _DEEPEST else 1)
    firsts = schema.get("prefixItems", [])
    length = max(min(wished, int(schema.get("maxItems", wished))), least, len(firsts))
    kinds = [*firsts, *[schema.get("items", {})] * length][:length]
    made: list[Any] = []
    for kind in kinds:
        item = instance(kind, source, root, key.rstrip("s"), depth + 1)
        tries = 0
        while schema.get("uniqueItems") and item in made and tries < 50:
            item, tries = instance(kind, source, root, key.rstrip("s"), depth + 1), tries + 1
        made.append(item)
    return made


def _string(schema: dict[str, Any], source: Source, key: str) -> str:
    if (known := _FORMATS.get(schema.get("format", ""))) is not None:
        return known
    text = source.name() if key in _SHORT else source.phrase(12)
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    while len(text) < least:
        text += " " + source.phrase(12)
    return text if most is None else text[: int(most)]


def _number(schema: dict[str, Any], source: Source, *, whole: bool) -> int | float:
    """Between its bounds; without any, a number from 0 to 1 and an integer from 0 to 10."""
    step = schema.get("multipleOf")
    bump = step or (1 if whole else 1e-6)
    low = schema.get("minimum", schema["exclusiveMinimum"] + bump if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - bump if "exclusiveMaximum" in schema else None)
    span = 10 if whole else 1
    low = (0 if high is None or high >= 0 else high - span) if low is None else low
    high = low + span if high is None else high
    value = low + (high - low) * source.chance()
    if step:
        multiple: int | float = max(math.ceil(low / step), math.floor(value / step)) * step
        return multiple
    return min(math.floor(high), max(math.ceil(low), round(value))) if whole else round(float(value), 6)
