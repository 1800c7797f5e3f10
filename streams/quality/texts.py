"""The labelled texts, and the request that each operation is asked with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_FOLDER = Path(__file__).parent
MAX_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class Text:
    """One text with the labels of all operations; `README.md` says what they mean."""

    id: str
    content: str
    category: str
    entities: Mapping[str, Sequence[str]]
    must: Sequence[Sequence[str]]
    must_not: Sequence[str]


def categories() -> dict[str, str]:
    """Name and description."""
    found: dict[str, str] = orjson.loads((_FOLDER / "categories.json").read_bytes())
    return found


def texts(limit: int = 0) -> list[Text]:
    """The first `limit` (0: all), one of each category after another, so that few are still of every kind."""
    lines = (_FOLDER / "texts.jsonl").read_bytes().splitlines()
    found = [Text(**orjson.loads(line)) for line in lines]
    found.sort(key=lambda text: text.id.rpartition("-")[2])
    return found[: limit or None]


def _summarize(text: Text) -> dict[str, Any]:
    return {"content": text.content, "max_sentences": MAX_SENTENCES}


def _extract(text: Text) -> dict[str, Any]:
    return {"content": text.content, "entity_types": list(text.entities)}


def _classify(text: Text) -> dict[str, Any]:
    return {"content": text.content, "categories": categories()}


ASKS = {"classify": _classify, "extract": _extract, "summarize": _summarize}
"""Operation to the input that it is asked with."""
