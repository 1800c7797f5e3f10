"""extract: what a text names, at the offsets where it stands, or a user's form filled in from it.

Above the model's context it is read in parts; offsets are always those of the whole content.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, field_validator
from typing_extensions import TypedDict

from agents import merging, naming, reading, structured, user_schema
from agents.base import Caller, Operation
from agents.grounding import Named, ground
from prompts import Rendered
from schemas.extract import Entity, Input, Output

USUAL_TYPES = ("person", "organization", "location", "date", "money")
"""For a request that names neither types nor a schema."""
_MAX_KEY_POINTS = 5
_MAX_NAMES = 1000
_SHRINKS = 0.8
"""Key points of parts that are together longer than this share of the content are not reduced again, but cut off."""
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


@dataclass(frozen=True, slots=True)
class _Found:
    """In one part, at offsets of that part."""

    entities: list[Entity]
    points: list[str]
    invented: int = 0
    others: int = 0


async def _entities(asked: Input, types: list[str], caller: Caller, *, reduced: bool = False) -> Output:
    """Each part's names are grounded in that part: a name stands where the model has read it. Of too many key points the
    key points are asked for (`reduced`).
    """

    def prompt(text: str) -> Rendered:
        return caller.render("extract", content=text, entity_types=types, key_points=asked.key_points)

    async def ask(text: str) -> _Found:
        schema = _schema(types, text, key_points=asked.key_points)
        question = structured.question(prompt(text), schema, _Answer.model_validate, max_tokens=_max_tokens(text))
        return await _grounded(text, (await structured.ask(caller, question)).value, types)

    done = await reading.read(asked.content, ask, reading.space(caller, lambda: prompt(""), _max_tokens(asked.content)))
    found = [read.found for read in done]
    _warn(
        caller,
        sum(f.invented for f in found),
        "1 entity that does not occur in the text was",
        "that do not occur in the text",
    )
    _warn(caller, sum(f.others for f in found), "1 entity of a type not asked for was", "of types not asked for")
    entities = [_moved(entity, read.part.start) for read in done for entity in read.found.entities]
    points = _each_once(point for f in found for point in f.points) if asked.key_points else []
    if len(done) > 1:
        if not reduced:
            caller.warn(reading.in_parts(len(done)))
        if len(points) > _MAX_KEY_POINTS and sum(map(len, points)) < len(asked.content) * _SHRINKS:
            again = Input(content="\n".join(points), key_points=True)
            points = (await _entities(again, [], caller, reduced=True)).key_points
    return Output(entities=entities, key_points=points[:_MAX_KEY_POINTS])


def _each_once(points: Iterable[str]) -> list[str]:
    known: dict[str, str] = {}
    for point in points:
        known.setdefault(point.casefold(), point)
    return list(known.values())


def _moved(entity: Entity, by: int) -> Entity:
    return entity.model_copy(update={"start": entity.start + by, "end": entity.end + by}) if by else entity


async def _grounded(content: str, answer: _Answer, types: list[str]) -> _Found:
    points = [point.strip() for point in answer.key_points if point.strip()]
    if not types:
        return _Found([], points)
    wanted: list[Named] = []
    others = 0
    for given, names in answer.entities.items():
        kind = naming.match(given, types)
        others += len(names) if kind is None else 0
        wanted.extend(Named(name, kind) for name in names if kind is not None)
    wanted = wanted[:_MAX_NAMES]
    found = await asyncio.to_thread(ground, content, wanted) if len(content) > _LONG else ground(content, wanted)
    return _Found(found.entities, points, found.invented, others)


def _warn(caller: Caller, count: int, one: str, many: str) -> None:
    if count:
        caller.warn(f"{one if count == 1 else f'{count} entities {many} were'} dropped")


async def _data(content: str, schema: dict[str, Any], caller: Caller) -> Any:
    """Above the context a form is filled in from each part, and the forms are merged (`agents/merging.py`)."""
    accept = user_schema.acceptor(schema, "schema")

    def prompt(text: str) -> Rendered:
        return caller.render("extract_data", content=text, schema=schema)

    async def ask(text: str) -> Any:
        if len(text) < len(content):
            merging.check(schema, space.figures(content))
        question = structured.question(prompt(text), schema, accept, max_tokens=_max_tokens(text))
        return (await structured.ask(caller, question)).value

    room = _max_tokens(content) if merging.can(schema) else 0  # a single value is short, and cannot be read in parts
    space = reading.space(caller, lambda: prompt(""), room)
    done = await reading.read(content, ask, space)
    if len(done) == 1:
        return done[0].found
    caller.warn(reading.in_parts(len(done)))
    return merging.merge([read.found for read in done], accept, caller, space.figures(content))


OPERATION = Operation(
    "extract",
    Input,
    Output,
    extract,
    check=check,
    wants=structured.wants,
    wordings=("extract", "extract_data", structured.REPAIR),
)
