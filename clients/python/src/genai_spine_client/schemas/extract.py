# Made by `python -m scripts.client` from schemas/extract.py; change it there.
"""extract: what a text names, at the offsets where it stands."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from genai_spine_client.schemas.text import Content, ShortText


class Input(BaseModel):
    """`entity_types` asks for entities, `schema` (a JSON Schema) for data; neither: entities of the usual types."""

    model_config = ConfigDict(populate_by_name=True)

    content: Content
    entity_types: Annotated[list[ShortText], Field(min_length=1, max_length=50)] | None = None
    data_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    key_points: Annotated[bool, Field(strict=True)] = False


class Entity(BaseModel):
    """`content[start:end] == text`, counted in Unicode characters (code points)."""

    text: str
    type: str
    start: int
    end: int


class Output(BaseModel):
    """`data` is null unless a schema was given; `key_points` empty unless asked for."""

    entities: list[Entity]
    data: Any = None
    key_points: list[str] = []
