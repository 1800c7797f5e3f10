"""The labelled texts, as their files have them; `README.md` says what the labels mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Question:
    """`answers`: spellings, of which one is enough. None: what is asked is not told."""

    question: str
    answers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Difference:
    """Spellings of what the text says, and of what the other report says in its place."""

    here: Sequence[str]
    there: Sequence[str]


@dataclass(frozen=True, slots=True)
class Report:
    """The same event once more, in other words and with other facts in some places."""

    content: str
    differs: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """`keep`: facts that must stay, each a list of spellings. `out`: words that must go."""

    instructions: str
    keep: Sequence[Sequence[str]]
    out: Sequence[str]


@dataclass(frozen=True, slots=True)
class Text:
    """One text with the labels of all operations. `sought`: asked of it among others of its category."""

    id: str
    content: str
    category: str
    entities: Mapping[str, Sequence[str]]
    must: Sequence[Sequence[str]]
    must_not: Sequence[str]
    question: Question
    sought: Question
    report: Report
    rewriting: Rewriting


def categories() -> dict[str, str]:
    """Name and description."""
    found: dict[str, str] = orjson.loads((_FOLDER / "categories.json").read_bytes())
    return found


def texts(limit: int = 0) -> list[Text]:
    """The first `limit` (0: all), one of each category after another, so that few are still of every kind."""
    found = sorted(_all(), key=lambda text: text.id.rpartition("-")[2])
    return found[: limit or None]


def sources(text: Text) -> list[Text]:
    """What it is sought in: itself and the next two of its category, in an order of which nothing can be guessed."""
    alike = [each for each in _all() if each.category == text.category]
    place = alike.index(text)
    following = [alike[(place + step) % len(alike)] for step in (1, 2)]
    following.insert(place % 3, text)
    return following


@cache
def _all() -> tuple[Text, ...]:
    questions, sought, reports, rewritings = map(_labels, ("questions", "sources", "reports", "rewritings"))
    return tuple(
        Text(
            id=id_,
            **told,
            question=Question(**questions[id_]),
            sought=Question(**sought[id_]),
            report=_report(**reports[id_]),
            rewriting=Rewriting(**rewritings[id_]),
        )
        for id_, told in _labels("texts").items()
    )


def _report(content: str, differs: Sequence[Mapping[str, Any]]) -> Report:
    return Report(content, [Difference(**each) for each in differs])


def _labels(name: str) -> dict[str, dict[str, Any]]:
    """A file's lines by the text that they are about."""
    lines = map(orjson.loads, (_FOLDER / f"{name}.jsonl").read_bytes().splitlines())
    return {line.pop("id"): line for line in lines}
