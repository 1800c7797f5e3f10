"""extract: what a text names, at the offsets where it stands, or a user's form filled in from it."""

import asyncio
from typing import Any

from pydantic import BaseModel, TypeAdapter, field_validator
from typing_extensions import TypedDict

from agents import naming, structured, user_schema
from agents.base import Caller, Operation
from agents.grounding import Named, ground
from schemas.extract import Entity, Input, Output

USUAL_TYPES = ("person", "organization", "location", "date", "money")
"""For a request that names neither types nor a schema."""
_MAX_KEY_POINTS = 5
_MAX_NAMES = 1000
_LONG = 100_000
"""Characters of content beyond which grounding leaves the event loop."""


class _Pair(TypedDict):
    text: str
    type: str


_PAIR = TypeAdapter(_Pair)


class _Answer(BaseModel):
    entities: dict[str, list[str]] = {}
    key_points: list[str] = []

    @field_validator("entities", mode="before")
    @classmethod
    def _by_type(cls, given: Any) -> Any:
        """A provider that does not enforce the schema may list {text, type}, as our own output does."""
        if not isinstance(given, list):
            return given
        by_type: dict[str, list[str]] = {}
        for item in given:
            pair = _PAIR.validate_python(item)
            by_type.setdefault(pair["type"], []).append(pair["text"])
        return by_type


def check(asked: Input) -> None:
    """Refuses a broken `schema`."""
    user_schema.check(asked.data_schema, "schema")


def _max_tokens(content: str) -> int:
    """A long text names more; a short one must not let a tiny model go on and on."""
    return min(300 + len(content) // 4, 3000)


def _schema(types: list[str], content: str, *, key_points: bool) -> dict[str, Any]:
    """A list of names for each type: a 135M model ends such lists by itself, and a list of {text, type} never.

    (Measured with SmolLM2 on 6 texts: 4 of 6 such answers repeated one name until `max_tokens`.)
    """
    properties: dict[str, Any] = {}
    if types:
        names = {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 100},
            "maxItems": min(2 + len(content) // 100, 50),
        }
        properties["entities"] = _object(dict.fromkeys(types, names))
    if key_points:
        point = {"type": "string", "maxLength": 200}
        properties["key_points"] = {"type": "array", "items": point, "maxItems": _MAX_KEY_POINTS}
    return _object(properties)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


async def extract(asked: Input, caller: Caller) -> Output:
    """Entities and key points in one call, a user's schema in another: its `$ref`s begin at its own root."""
    types = list(dict.fromkeys(asked.entity_types or (() if asked.data_schema else USUAL_TYPES)))
    output = Output(entities=[])
    if types or asked.key_points:
        output = await _entities(asked, types, caller)
    if asked.data_schema is not None:
        output.data = await _data(asked.content, asked.data_schema, caller)
    return output


async def _entities(asked: Input, types: list[str], caller: Caller) -> Output:
    prompt = caller.render("extract", content=asked.content, entity_types=types, key_points=asked.key_points)
    schema = _schema(types, asked.content, key_points=asked.key_points)
    question = structured.question(prompt, schema, _Answer.model_validate, max_tokens=_max_tokens(asked.content))
    answer = (await structured.ask(caller, question)).value
    points = [point.strip() for point in answer.key_points if point.strip()] if asked.key_points else []
    return Output(
        entities=await _grounded(asked.content, answer.entities, types, caller), key_points=points[:_MAX_KEY_POINTS]
    )


async def _grounded(content: str, named: dict[str, list[str]], types: list[str], caller: Caller) -> list[Entity]:
    if not types:
        return []
    wanted: list[Named] = []
    others = 0
    for given, names in named.items():
        kind = naming.match(given, types)
        others += len(names) if kind is None else 0
        wanted.extend(Named(name, kind) for name in names if kind is not None)
    wanted = wanted[:_MAX_NAMES]
    found = await asyncio.to_thread(ground, content, wanted) if len(content) > _LONG else ground(content, wanted)
    _warn(caller, found.invented, "1 entity that does not occur in the text was", "that do not occur in the text")
    _warn(caller, others, "1 entity of a type not asked for was", "of types not asked for")
    return found.entities


def _warn(caller: Caller, count: int, one: str, many: str) -> None:
    if count:
        caller.warn(f"{one if count == 1 else f'{count} entities {many} were'} dropped")


async def _data(content: str, schema: dict[str, Any], caller: Caller) -> Any:
    accept = user_schema.acceptor(schema, "schema")
    prompt = caller.render("extract_data", content=content, schema=schema)
    answered = await structured.ask(
        caller, structured.question(prompt, schema, accept, max_tokens=_max_tokens(content))
    )
    return answered.value


OPERATION = Operation("extract", Input, Output, extract, check=check)
