"""compare: what two or more texts share and where they differ.

Above the model's context each pair is compared by itself, and what was found is told by pair. A text that leaves no room for
another one beside it is summarised first.
"""

import math
from itertools import combinations
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from agents import reading, sentences, structured, summarize
from agents.base import Caller, Operation
from agents.reading import Space, TooLong
from prompts import Rendered
from prompts.fence import fence
from providers import tokens
from providers.errors import ContextTooLong
from schemas.compare import Input, Output

_MOST = 3
_POINT = 160
_VERDICT = 300
_MAX_TOKENS = 600
_FENCE = 12
"""Tokens of one text's number and delimiters, about."""
_SUMMARY = 10
"""Sentences, at most, of a text that is too long to be compared as it is."""
_SENTENCE = 60
"""Tokens of a long sentence."""

Items = dict[int, str]
"""The texts that one call compares, by their numbers in the request."""


class _Answer(BaseModel):
    similarities: list[str] = []
    differences: list[str] = []
    verdict: str
    similarity: Annotated[int, Field(ge=0, le=100)]

    @field_validator("verdict")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank; write the verdict")
        return text


_POINTS = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": _POINT}, "maxItems": _MOST}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "similarities": _POINTS,
        "differences": _POINTS,
        "verdict": {"type": "string", "minLength": 1, "maxLength": _VERDICT},
        "similarity": {"type": "integer", "minimum": 0, "maximum": 100},
    },
    "required": ["similarities", "differences", "verdict", "similarity"],
    "additionalProperties": False,
}


async def compare(asked: Input, caller: Caller) -> Output:
    """All texts in one call where they fit, which the provider may know better than the guess of their tokens."""
    items = dict(enumerate(asked.items, start=1))
    space = reading.space(caller, lambda: _prompt({}, asked, caller), _MAX_TOKENS)
    room = space.room()
    if room is None or _weight(items) <= room:
        try:
            return await _ask(items, asked, caller)
        except ContextTooLong as refusal:
            space = reading.told(refusal, space, _weight(items) + space.around())
    return await _by_pair(items, asked, caller, space)


async def _by_pair(items: Items, asked: Input, caller: Caller, space: Space) -> Output:
    pairs = list(combinations(items, 2))
    _check(items, len(pairs), space)
    items = await _shortened(items, asked, caller, space)
    found: dict[tuple[int, int], Output] = {}
    for pair in pairs:
        both = _only(items, pair)
        try:
            found[pair] = await _ask(both, asked, caller)
        except ContextTooLong as refusal:
            space = reading.told(refusal, space, _weight(both) + space.around())
            items = await _shortened(items, asked, caller, space)
            found[pair] = await _ask(_only(items, pair), asked, caller)
    if len(pairs) == 1:
        return found[pairs[0]]
    caller.warn(f"the texts are together longer than the model's context and were compared in {len(pairs)} pairs")
    return Output(
        similarities=[_of(pair, each) for pair, one in found.items() for each in one.similarities],
        differences=[_of(pair, each) for pair, one in found.items() for each in one.differences],
        verdict="\n".join(_of(pair, one.verdict) for pair, one in found.items()),
        similarity=round(sum(one.similarity for one in found.values()) / len(found), 4),
    )


def _check(items: Items, pairs: int, space: Space) -> None:
    """Raises TooLong for what would cost too many calls."""
    room, weight = space.room(), _weight(items)
    parts = pairs if room is None else max(pairs, math.ceil(weight / max(room, 1)))
    if parts > space.most:
        raise TooLong(
            f"The {len(items)} texts have about {round(weight)} tokens, the model's context holds {space.context}. Compared "
            f"with each other, or read in parts, they make {parts} calls; {space.most} are the most. Compare fewer or shorter "
            "texts at once, or use a model with a longer context.",
            prompt_tokens=round(weight) + space.around(),
            context_tokens=space.context,
            parts=parts,
            most_parts=space.most,
        )


async def _shortened(items: Items, asked: Input, caller: Caller, space: Space) -> Items:
    """Each text that does not fit beside another one, as a summary that does."""
    room = space.room()
    if room is None:
        return items
    half = room // 2
    weights = {number: _weight({number: text}) for number, text in items.items()}
    second, first = sorted(weights.values())[-2:]
    beside = {n: second if weight == first else first for n, weight in weights.items()}
    long = [n for n, weight in weights.items() if weight > half and weight + beside[n] > room]
    short = {n: await summarize.shorter(items[n], _focus(asked), _sentences(half), caller) for n in long}
    if short:
        named = f"text {long[0]} does" if len(long) == 1 else f"texts {', '.join(map(str, long))} do"
        caller.warn(f"{named} not fit into the model's context beside another and took part as a summary")
    return {**items, **short}


def _focus(asked: Input) -> str | None:
    return "; ".join(asked.aspects or ())[:2000] or None


def _sentences(room: int) -> int:
    """Of a summary that has this much room."""
    return max(1, min(_SUMMARY, room // _SENTENCE))


def _only(items: Items, pair: tuple[int, int]) -> Items:
    return {number: items[number] for number in pair}


def _of(pair: tuple[int, int], said: str) -> str:
    return f"Texts {pair[0]} and {pair[1]}: {said}"


def _weight(items: Items) -> float:
    return sum(tokens.estimate(text) + _FENCE for text in items.values())


def _prompt(items: Items, asked: Input, caller: Caller) -> Rendered:
    fenced = [{"number": number, "text": fence(text)} for number, text in items.items()]
    return caller.render("compare", items=fenced, aspects=asked.aspects or [])


async def _ask(items: Items, asked: Input, caller: Caller) -> Output:
    question = structured.question(
        _prompt(items, asked, caller), _SCHEMA, _Answer.model_validate, max_tokens=_MAX_TOKENS
    )
    answer = (await structured.ask(caller, question)).value
    return Output(
        similarities=_points(answer.similarities),
        differences=_points(answer.differences),
        verdict=sentences.finished(answer.verdict, _VERDICT),
        similarity=answer.similarity / 100,
    )


def _points(given: list[str]) -> list[str]:
    """At most `_MOST`, each once, none cut in the middle of a sentence."""
    whole = [sentences.finished(point, _POINT) for point in given if point.strip()]
    return list(dict.fromkeys(whole))[:_MOST]


OPERATION = Operation(
    "compare", Input, Output, compare, wants=structured.wants, wordings=("compare", "summarize", structured.REPAIR)
)
